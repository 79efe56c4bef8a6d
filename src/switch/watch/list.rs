//! Many watched by one subscription: resource lists. RFC 4662.

use super::xml::{escape, uri};
use std::fmt::Write;

/// The user part by which a phone subscribes to its extension's list. No extension has it: theirs are digits.
pub(super) const USER: &str = "list";
/// No body that we put in holds it: theirs are XML, or lines of our own.
const BOUNDARY: &str = "offhook-list-6f1d3a";

/// One member of the list and what is told of it.
pub(super) struct Resource {
    pub(super) number: String,
    pub(super) name: String,
    pub(super) content_type: &'static str,
    pub(super) body: String,
}

/// Content type and body of a NOTIFY about `resources`: all members when `full`, else those that changed (§5.2).
pub(super) fn body(
    host: &str,
    (version, full): (u32, bool),
    resources: &[Resource],
) -> (String, String) {
    // A Content-ID is an address in form; nobody resolves it.
    let cid = |number: &str| format!("{number}.{version}@offhook");
    let list = uri(USER, host);
    let mut index = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<list xmlns=\"urn:ietf:params:xml:ns:rlmi\" uri=\"{}\" \
         version=\"{version}\" fullState=\"{full}\">\n",
        escape(&list)
    );
    let mut parts = String::new();
    for resource in resources {
        let (id, uri) = (cid(&resource.number), uri(&resource.number, host));
        // Writing to a String cannot fail.
        let _infallible = writeln!(
            index,
            "<resource uri=\"{}\"><name>{}</name><instance id=\"i{}\" state=\"active\" cid=\"{id}\"/></resource>",
            escape(&uri),
            escape(&resource.name),
            resource.number,
        );
        let _infallible = write!(
            parts,
            "--{BOUNDARY}\r\nContent-Transfer-Encoding: binary\r\nContent-ID: <{id}>\r\nContent-Type: {}\r\n\r\n{}\r\n",
            resource.content_type, resource.body,
        );
    }
    index.push_str("</list>\n");
    let root = cid("rlmi");
    let body = format!(
        "--{BOUNDARY}\r\nContent-Transfer-Encoding: binary\r\nContent-ID: <{root}>\r\n\
         Content-Type: application/rlmi+xml;charset=\"UTF-8\"\r\n\r\n{index}\r\n{parts}--{BOUNDARY}--\r\n"
    );
    let content_type = format!(
        "multipart/related;type=\"application/rlmi+xml\";start=\"<{root}>\";boundary=\"{BOUNDARY}\""
    );
    (content_type, body)
}
