//! Who may ask: every request's signature, by version 2 or 4, and its date.

use jiff::Timestamp;
use relay::config::Secret;
use relay::sink::maxcompute::sign::{Credentials, Signer, string_to_sign};

use super::{Refusal, Request, refuse};

/// The key that is known.
pub const ACCESS_ID: &str = "LTAIrelayTest";
pub const ACCESS_KEY: &str = "secretOfTheStandIn";
/// A temporary key, with the same secret and a token.
pub const STS_ID: &str = "STS.relayTest";
pub const STS_TOKEN: &str = "tokenOfTheStandIn";

/// How far a clock may be off.
const SKEW_SECONDS: i64 = 15 * 60;

pub fn check(request: &Request) -> Result<(), Refusal> {
    let Some(authorization) = request.header("authorization") else {
        return refuse(401, "Unauthorized", "the request has no signature");
    };
    let credential = authorization.strip_prefix("ODPS ").and_then(|rest| rest.rsplit_once(':'));
    let Some((credential, _)) = credential else {
        return refuse(401, "Unauthorized", "the signature is none");
    };
    let parts: Vec<&str> = credential.split('/').collect();
    let (id, scope) = match parts[..] {
        [id] => (id, None),
        [id, day, region, "odps", "aliyun_v4_request"] => (id, Some((day, region))),
        _ => return refuse(401, "Unauthorized", "the credential is none"),
    };
    let token = request.header("authorization-sts-token");
    match (id, token) {
        (ACCESS_ID, None) | (STS_ID, Some(STS_TOKEN)) => {}
        (ACCESS_ID | STS_ID, _) => return refuse(401, "Unauthorized", "the token does not belong to the key"),
        _ => return refuse(401, "InvalidAccessKeyId.NotFound", "the key is not known"),
    }
    let date = request.header("date").unwrap_or_default();
    let Ok(sent) = jiff::fmt::rfc2822::parse(date).map(|date| date.timestamp()) else {
        return refuse(401, "Unauthorized", "the date is none");
    };
    if (Timestamp::now().as_second() - sent.as_second()).abs() > SKEW_SECONDS {
        return refuse(401, "RequestTimeTooSkewed", "the date is too far off");
    }
    let day = match scope {
        None => sent,
        Some((day, _)) => match format!("{day}T00:00:00Z").parse::<Timestamp>() {
            Ok(day) if (day.as_second() - sent.as_second()).abs() <= 2 * 86_400 => day,
            _ => return refuse(401, "Unauthorized", "the day of the credential is another"),
        },
    };
    let access_key = Secret::new(ACCESS_KEY);
    let credentials = Credentials { access_id: id.to_owned(), access_key, sts_token: None };
    let signer = Signer::new(credentials, scope.map(|(_, region)| region.to_owned()));
    let headers: Vec<(&str, &str)> =
        request.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect();
    let sign = |decode: &dyn Fn(&str) -> String| {
        let parameters: Vec<(String, String)> =
            request.parameters.iter().map(|(name, value)| (name.clone(), decode(value))).collect();
        let parameters: Vec<(&str, &str)> =
            parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        signer.authorization(&string_to_sign(&request.method, &headers, &request.path, &parameters), day)
    };
    // pyodps decodes values twice.
    let twice =
        |value: &str| percent_encoding::percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned();
    if authorization == sign(&str::to_owned) || authorization == sign(&twice) {
        return Ok(());
    }
    refuse(401, "SignatureNotMatch", "the signature is another")
}
