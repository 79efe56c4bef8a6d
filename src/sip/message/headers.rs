//! The header fields we know by name, with their compact forms. A field that is not here is
//! still kept, as [`HeaderId::Other`], and found by `Message::header_named`.

macro_rules! headers {
    ($($id:ident $name:literal $lower:literal $(| $short:literal)?;)*) => {
        /// A header field known by name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum HeaderId {
            $($id,)*
            /// Any other field; ask for it by its name.
            Other,
        }

        impl HeaderId {
            /// The long name as we write it; empty for `Other`.
            pub fn name(self) -> &'static str {
                match self {
                    $(HeaderId::$id => $name,)*
                    HeaderId::Other => "",
                }
            }

            /// Looks up a field name, long or compact, in any case (RFC 3261 §7.3.1, §7.3.3).
            pub fn of(name: &[u8]) -> HeaderId {
                let mut lower = [0u8; LONGEST];
                let Some(lower) = lower.get_mut(..name.len()) else {
                    return HeaderId::Other;
                };
                lower.copy_from_slice(name);
                lower.make_ascii_lowercase();
                match &*lower {
                    $($lower $(| $short)? => HeaderId::$id,)*
                    _ => HeaderId::Other,
                }
            }

            #[cfg(test)]
            const ALL: &[HeaderId] = &[$(HeaderId::$id,)*];
        }
    };
}

/// No known name is longer.
const LONGEST: usize = 24;

headers! {
    Via "Via" b"via" | b"v";
    From "From" b"from" | b"f";
    To "To" b"to" | b"t";
    CallId "Call-ID" b"call-id" | b"i";
    CSeq "CSeq" b"cseq";
    Contact "Contact" b"contact" | b"m";
    MaxForwards "Max-Forwards" b"max-forwards";
    ContentLength "Content-Length" b"content-length" | b"l";
    ContentType "Content-Type" b"content-type" | b"c";
    Expires "Expires" b"expires";
    MinExpires "Min-Expires" b"min-expires";
    Require "Require" b"require";
    ProxyRequire "Proxy-Require" b"proxy-require";
    Supported "Supported" b"supported" | b"k";
    Unsupported "Unsupported" b"unsupported";
    Allow "Allow" b"allow";
    Accept "Accept" b"accept";
    AcceptEncoding "Accept-Encoding" b"accept-encoding";
    AcceptLanguage "Accept-Language" b"accept-language";
    AcceptContact "Accept-Contact" b"accept-contact" | b"a";
    RejectContact "Reject-Contact" b"reject-contact" | b"j";
    RequestDisposition "Request-Disposition" b"request-disposition" | b"d";
    Authorization "Authorization" b"authorization";
    ProxyAuthorization "Proxy-Authorization" b"proxy-authorization";
    WwwAuthenticate "WWW-Authenticate" b"www-authenticate";
    ProxyAuthenticate "Proxy-Authenticate" b"proxy-authenticate";
    AuthenticationInfo "Authentication-Info" b"authentication-info";
    RecordRoute "Record-Route" b"record-route";
    Route "Route" b"route";
    UserAgent "User-Agent" b"user-agent";
    Server "Server" b"server";
    Reason "Reason" b"reason";
    PAssertedIdentity "P-Asserted-Identity" b"p-asserted-identity";
    PPreferredIdentity "P-Preferred-Identity" b"p-preferred-identity";
    RemotePartyId "Remote-Party-ID" b"remote-party-id";
    Privacy "Privacy" b"privacy";
    Diversion "Diversion" b"diversion";
    ReferTo "Refer-To" b"refer-to" | b"r";
    ReferredBy "Referred-By" b"referred-by" | b"b";
    ReferSub "Refer-Sub" b"refer-sub";
    Replaces "Replaces" b"replaces";
    Join "Join" b"join";
    Event "Event" b"event" | b"o";
    SubscriptionState "Subscription-State" b"subscription-state";
    AllowEvents "Allow-Events" b"allow-events" | b"u";
    SessionExpires "Session-Expires" b"session-expires" | b"x";
    MinSe "Min-SE" b"min-se";
    RSeq "RSeq" b"rseq";
    RAck "RAck" b"rack";
    Path "Path" b"path";
    ServiceRoute "Service-Route" b"service-route";
    Warning "Warning" b"warning";
    RetryAfter "Retry-After" b"retry-after";
    Date "Date" b"date";
    Subject "Subject" b"subject" | b"s";
    Organization "Organization" b"organization";
    ContentEncoding "Content-Encoding" b"content-encoding" | b"e";
    ContentDisposition "Content-Disposition" b"content-disposition";
    ContentLanguage "Content-Language" b"content-language";
    MimeVersion "MIME-Version" b"mime-version";
    AlertInfo "Alert-Info" b"alert-info";
    CallInfo "Call-Info" b"call-info";
    HistoryInfo "History-Info" b"history-info";
    ErrorInfo "Error-Info" b"error-info";
    Timestamp "Timestamp" b"timestamp";
    InReplyTo "In-Reply-To" b"in-reply-to";
    ReplyTo "Reply-To" b"reply-to";
    Priority "Priority" b"priority";
    Identity "Identity" b"identity" | b"y";
    SipEtag "SIP-ETag" b"sip-etag";
    SipIfMatch "SIP-If-Match" b"sip-if-match";
    RecvInfo "Recv-Info" b"recv-info";
    InfoPackage "Info-Package" b"info-package";
    UserToUser "User-to-User" b"user-to-user";
    PCalledPartyId "P-Called-Party-ID" b"p-called-party-id";
    PEarlyMedia "P-Early-Media" b"p-early-media";
    Geolocation "Geolocation" b"geolocation";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_finds_its_id_in_any_case() {
        for id in HeaderId::ALL {
            assert!(id.name().len() <= LONGEST);
            assert_eq!(HeaderId::of(id.name().as_bytes()), *id);
            assert_eq!(HeaderId::of(id.name().to_uppercase().as_bytes()), *id);
        }
    }

    #[test]
    fn compact_forms_are_the_same_fields() {
        for (short, id) in [
            (b"v", HeaderId::Via),
            (b"F", HeaderId::From),
            (b"i", HeaderId::CallId),
            (b"L", HeaderId::ContentLength),
            (b"x", HeaderId::SessionExpires),
            (b"r", HeaderId::ReferTo),
        ] {
            assert_eq!(HeaderId::of(short), id);
        }
        assert_eq!(HeaderId::of(b"z"), HeaderId::Other);
        assert_eq!(HeaderId::of(b""), HeaderId::Other);
        assert_eq!(HeaderId::of(&[b'a'; 300]), HeaderId::Other);
    }
}
