//! Reading bodies from JSON more strictly than serde does by itself.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// Reads an object or nothing. Without this an array whose items fit the members in their order would be taken for one.
pub(crate) fn object<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_any(Object(PhantomData))
}

struct Object<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use crate::kinds::report::Report;

    #[test]
    fn an_array_is_no_object() {
        let read = |member: &str| serde_json::from_str::<Report>(&format!(r#"{{"title":"EXERCISE",{member}}}"#));
        for no in
            [r#""place":[null,null]"#, r#""place":[1,2,"x"]"#, r#""time":[1]"#, r#""place":"x""#, r#""time":{"to":1}"#]
        {
            assert!(read(no).is_err(), "{no}");
        }
        assert!(read(r#""place":null,"time":null,"evaluation":null"#).unwrap().place.is_none());
        let report = read(r#""place":{"name":"EXERCISE"},"time":{"from":-1}"#).unwrap();
        assert_eq!((report.place.unwrap().name.as_deref(), report.time.unwrap().from), (Some("EXERCISE"), -1));
    }
}
