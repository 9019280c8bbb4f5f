//! E-mail addresses and URLs.

use super::Fault;
use super::text::folded;

/// The longest name before the @, in bytes (RFC 5321, 4.5.3.1.1).
const LOCAL_BYTES_MAX: usize = 64;
/// The longest domain, in bytes (RFC 5321, 4.5.3.1.2).
const DOMAIN_BYTES_MAX: usize = 255;
/// The longest part of a domain, in bytes (RFC 1035, 2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// The name as it is, because only its own server knows whether case matters in it (RFC 5321, 2.4), and the domain in small
/// letters. Letters of other scripts may stand in both (RFC 6531); quoted names may not.
pub(super) fn email(value: &str) -> Result<String, Fault> {
    let (local, domain) = value.rsplit_once('@').ok_or(Fault::Email)?;
    // The characters of a name without quotes (RFC 5322, 3.2.3: atext), and all beyond ASCII (RFC 6532, 3.1).
    let atext = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || is_foreign(c);
    let named =
        local.len() <= LOCAL_BYTES_MAX && local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(atext));
    let domain = folded(domain, str::to_lowercase);
    let label = |label: &str| {
        let inner = !label.starts_with('-') && !label.ends_with('-');
        let letters = label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || is_foreign(c));
        (1..=LABEL_BYTES_MAX).contains(&label.len()) && inner && letters
    };
    let placed = domain.len() <= DOMAIN_BYTES_MAX && domain.contains('.') && domain.split('.').all(label);
    if named && placed { Ok(format!("{local}@{domain}")) } else { Err(Fault::Email) }
}

/// The URL with scheme and host in small letters (RFC 3986, 6.2.2.1) and otherwise as it is.
pub(super) fn url(value: &str) -> Result<String, Fault> {
    let (scheme, rest) = value.split_once("://").ok_or(Fault::Url)?;
    let begins = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    let is_scheme = begins && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()));
    let (user, host) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    if !is_scheme || host.is_empty() || host.starts_with(':') || value.chars().any(char::is_whitespace) {
        return Err(Fault::Url);
    }
    Ok(format!("{}://{user}{}{path}", scheme.to_ascii_lowercase(), host.to_ascii_lowercase()))
}

/// Beyond ASCII, and no blank.
fn is_foreign(c: char) -> bool {
    !c.is_ascii() && !c.is_whitespace()
}
