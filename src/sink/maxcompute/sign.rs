//! Request signing: versions 2 and 4, with long-lived and with temporary (STS) credentials.
//!
//! Both versions sign the same text and end in HMAC-SHA1 over it; version 4 derives its key from the secret, the day
//! and the region. Bodies are not signed. A text holds its date: each attempt is signed afresh.

use jiff::Timestamp;
use ring::hmac;

use crate::config::Secret;
use crate::format::text::write_base64;

/// Headers of this prefix are signed with their names.
const SIGNED_PREFIX: &str = "x-odps-";
/// Signed by their values alone, in this order; an absent one is an empty line.
const SIGNED_VALUES: [&str; 3] = ["content-md5", "content-type", "date"];

/// Who signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Public half of the key.
    pub access_id: String,
    /// Secret half of the key.
    pub access_key: Secret,
    /// Token of a temporary key; travels beside the signature, unsigned.
    pub sts_token: Option<Secret>,
}

/// Signs requests: by version 4 when it has a region, else by version 2.
#[derive(Debug, Clone)]
pub struct Signer {
    credentials: Credentials,
    region: Option<String>,
}

impl Signer {
    /// A signer with these credentials.
    pub fn new(credentials: Credentials, region: Option<String>) -> Self {
        Self { credentials, region }
    }

    /// The token to send as `authorization-sts-token`, when the credentials are temporary.
    pub fn sts_token(&self) -> Option<&str> {
        self.credentials.sts_token.as_ref().map(Secret::expose)
    }

    /// The value of `Authorization` for a text of [`string_to_sign`]; `now` gives version 4 its day.
    pub fn authorization(&self, string_to_sign: &str, now: Timestamp) -> String {
        let Credentials { access_id, access_key, .. } = &self.credentials;
        let (key, scope) = match &self.region {
            None => (access_key.expose().as_bytes().to_vec(), String::new()),
            Some(region) => {
                let day = now.strftime("%Y%m%d").to_string();
                (derived_key(access_key, &day, region), format!("/{day}/{region}/odps/aliyun_v4_request"))
            }
        };
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key);
        let mut authorization = format!("ODPS {access_id}{scope}:").into_bytes();
        write_base64(hmac::sign(&key, string_to_sign.as_bytes()).as_ref(), &mut authorization);
        String::from_utf8(authorization).expect("text and base64 are text")
    }
}

/// Version 4's key: each part is signed with the result of the one before.
fn derived_key(access_key: &Secret, day: &str, region: &str) -> Vec<u8> {
    let start = format!("aliyun_v4{}", access_key.expose()).into_bytes();
    [day, region, "odps", "aliyun_v4_request"].into_iter().fold(start, |key, part| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), part.as_bytes()).as_ref().to_vec()
    })
}

/// The text that is signed: method, headers, and the resource with its parameters.
///
/// `path` is decoded and lacks the endpoint's own prefix (`/projects/p/...`); parameters are decoded once, those without
/// a value have an empty one. Header names may be in any case.
pub fn string_to_sign(method: &str, headers: &[(&str, &str)], path: &str, parameters: &[(&str, &str)]) -> String {
    let find = |name: &str| headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
    let mut text = method.to_owned();
    for name in SIGNED_VALUES {
        text.push('\n');
        text.push_str(find(name).map_or("", |(_, value)| value));
    }
    let mut named: Vec<(String, &str)> = headers
        .iter()
        .chain(parameters)
        .map(|(name, value)| (name.to_ascii_lowercase(), *value))
        .filter(|(name, _)| name.starts_with(SIGNED_PREFIX))
        .collect();
    named.sort();
    for (name, value) in named {
        text.extend(["\n", &name, ":", value]);
    }
    text.extend(["\n", path]);
    let mut parameters = parameters.to_vec();
    parameters.sort_by_key(|&(name, _)| name);
    for (place, (name, value)) in parameters.into_iter().enumerate() {
        text.extend([if place == 0 { "?" } else { "&" }, name]);
        if !value.is_empty() {
            text.extend(["=", value]);
        }
    }
    text
}

/// A moment as `Date` has it: RFC 1123, in GMT.
pub fn http_date(now: Timestamp) -> String {
    now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use serde::Deserialize;

    use super::*;

    /// Requests that a real client signed with its clock stopped.
    #[derive(Deserialize)]
    struct Vectors {
        access_id: String,
        access_key: String,
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        id: String,
        version: String,
        method: String,
        signed_headers: serde_json::Map<String, serde_json::Value>,
        canonical_resource_path: String,
        decoded_params: Vec<(String, String)>,
        string_to_sign: String,
        region: Option<String>,
        signing_key_hex: String,
        authorization: String,
        reproduced_by_single_decode_rule: bool,
    }

    impl Case {
        fn text(&self, parameters: &[(String, String)]) -> String {
            let headers: Vec<(&str, &str)> = self
                .signed_headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str().expect("text")))
                .collect();
            let parameters: Vec<(&str, &str)> =
                parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            string_to_sign(&self.method, &headers, &self.canonical_resource_path, &parameters)
        }
    }

    fn vectors() -> Vectors {
        serde_json::from_str(include_str!("../../../tests/fixtures/maxcompute/signing.json")).expect("the vectors")
    }

    fn signer(vectors: &Vectors, region: Option<String>) -> Signer {
        let credentials = Credentials {
            access_id: vectors.access_id.clone(),
            access_key: Secret::new(&vectors.access_key),
            sts_token: None,
        };
        Signer::new(credentials, region)
    }

    const CLOCK: &str = "2024-03-01T08:00:00Z";

    #[test]
    fn every_request_is_signed_as_the_real_client_signed_it() {
        let vectors = vectors();
        assert_eq!(vectors.cases.len(), 124);
        let now: Timestamp = CLOCK.parse().expect("a moment");
        let mut twice_decoded = 0;
        for case in &vectors.cases {
            assert_eq!(case.region.is_some(), case.version == "v4", "{}", case.id);
            let signer = signer(&vectors, case.region.clone());
            let text = case.text(&case.decoded_params);
            if case.reproduced_by_single_decode_rule {
                assert_eq!(text, case.string_to_sign, "{}", case.id);
            } else {
                // That client decodes a partition with `+` twice; the value itself is what we sign.
                assert_ne!(text, case.string_to_sign, "{}", case.id);
                let again =
                    |value: &String| percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned();
                let parameters: Vec<_> =
                    case.decoded_params.iter().map(|(name, value)| (name.clone(), again(value))).collect();
                assert_eq!(case.text(&parameters), case.string_to_sign, "{}", case.id);
                twice_decoded += 1;
            }
            assert_eq!(signer.authorization(&case.string_to_sign, now), case.authorization, "{}", case.id);
        }
        assert_eq!(twice_decoded, 4);
    }

    #[test]
    fn the_key_of_version_4_is_chained_from_day_region_and_service() {
        let vectors = vectors();
        let case = vectors.cases.iter().find(|case| case.version == "v4").expect("one of version 4");
        let key = derived_key(&Secret::new(&vectors.access_key), "20240301", "cn-hangzhou");
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, case.signing_key_hex);
    }

    #[test]
    fn dates_are_those_of_the_vectors() {
        let now: Timestamp = CLOCK.parse().expect("a moment");
        for case in vectors().cases {
            assert_eq!(case.signed_headers["Date"], http_date(now), "{}", case.id);
        }
    }

    #[test]
    fn a_parameter_of_the_signed_prefix_is_signed_among_the_headers_too() {
        let text = string_to_sign("GET", &[("X-Odps-B", "2"), ("Content-MD5", "abc")], "/x", &[("x-odps-a", "1")]);
        assert_eq!(text, "GET\nabc\n\n\nx-odps-a:1\nx-odps-b:2\n/x?x-odps-a=1");
    }

    #[test]
    fn the_token_of_temporary_credentials_does_not_change_the_signature() {
        let vectors = vectors();
        let now: Timestamp = CLOCK.parse().expect("a moment");
        let plain = signer(&vectors, None);
        let mut credentials = plain.credentials.clone();
        credentials.sts_token = Some(Secret::new("token"));
        let sts = Signer::new(credentials, None);
        assert_eq!(sts.authorization("GET", now), plain.authorization("GET", now));
        assert_eq!((plain.sts_token(), sts.sts_token()), (None, Some("token")));
        assert!(!format!("{sts:?}").contains("token\""), "secrets are not shown");
    }
}
