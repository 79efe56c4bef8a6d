//! What a dialog is called before third parties, such as those who watch a lamp (RFC 4235): names by which it can be
//! asked to be replaced (RFC 3891), and nothing else. Whoever knew its own names could speak in it.
//! Nothing is kept of them: they follow from the dialog's id and the seed.

use super::Dialogs;
use crate::endpoint::{DialogAlias, DialogId};
use crate::secret::Secret;

impl Dialogs {
    pub(crate) fn alias(&self, secret: &Secret, id: DialogId) -> Option<DialogAlias> {
        let names = self.get(id)?.names();
        let [call, local, remote] = of(secret, id);
        Some(DialogAlias {
            call_id: format!("{call}-{:x}", id.0),
            local_tag: local,
            remote_tag: names.remote_tag.map(|_| remote),
        })
    }

    /// The live dialog of these aliases, the tags in either order.
    pub(crate) fn aliased(
        &self,
        secret: &Secret,
        call_id: &str,
        tags: (&str, &str),
    ) -> Option<DialogId> {
        let (token, id) = call_id.rsplit_once('-')?;
        let id = DialogId(u64::from_str_radix(id, 16).ok()?);
        self.get(id)?;
        let [call, local, remote] = of(secret, id);
        let (local, remote) = (local.as_str(), remote.as_str());
        let right = tags == (local, remote) || tags == (remote, local);
        (call == token && right).then_some(id)
    }
}

/// Call-ID, our tag, the peer's.
fn of(secret: &Secret, id: DialogId) -> [String; 3] {
    ["call", "local", "remote"]
        .map(|what| secret.token_of(format!("alias {what} {}", id.0).as_bytes()))
}
