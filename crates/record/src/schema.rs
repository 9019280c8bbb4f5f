//! What names and ids look like in JSON, for the description of the API. Only with the feature `schema`.

use std::borrow::Cow;

use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::{AgencyId, Digest, KeyId, OfficerId, RecordId, ThreadId};

macro_rules! text {
    ($($name:ident: $pattern:literal, $what:literal;)+) => {$(
        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some($pattern)).description(Some($what));
                text.build().into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )+};
}

text! {
    RecordId: "^[0-9a-fA-F]{64}$", "SHA-256 of a whole signed record, in hexadecimal.";
    Digest: "^[0-9a-fA-F]{64}$", "SHA-256, in hexadecimal.";
    ThreadId: "^[0-9a-fA-F]{32}$", "What ties records of one matter together, in hexadecimal.";
    KeyId: "^[0-9a-fA-F]{32}$", "The first 16 bytes of SHA-256 of a public key, in hexadecimal.";
    AgencyId: "^[a-z0-9][a-z0-9-]{0,38}[a-z0-9]$", "The name of an agency, a party or a forum.";
    OfficerId: "^[a-z0-9][a-z0-9-]{0,38}[a-z0-9]$", "The pseudonym of an officer.";
}
