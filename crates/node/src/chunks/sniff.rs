//! What a file is, judged by its beginning: whether it is what it is declared to be, and whether it can run.
//!
//! A file that runs when somebody opens it (a program, a script, a page) is taken only as `application/octet-stream`: then whoever
//! hands it in says that nothing is to open it by itself. All other declarations must agree with the content as far as that shows.

use infer::MatcherType;

/// How much of a file is looked at, in bytes.
pub(super) const SNIFFED_BYTES: usize = 8192;
/// The media type that says nothing (RFC 2046 §4.5.1).
const OCTETS: &str = "application/octet-stream";

/// Media types of what runs when it is opened, in a browser or on a desk.
const ACTIVE: [&str; 29] = [
    "application/ecmascript",
    "application/hta",
    "application/java-archive",
    "application/java-vm",
    "application/javascript",
    "application/vnd.android.package-archive",
    "application/vnd.microsoft.portable-executable",
    "application/wasm",
    "application/x-bat",
    "application/x-dosexec",
    "application/x-elf",
    "application/x-executable",
    "application/x-httpd-php",
    "application/x-javascript",
    "application/x-mach-binary",
    "application/x-msdos-program",
    "application/x-msdownload",
    "application/x-msi",
    "application/x-sh",
    "application/x-sharedlib",
    "application/x-shellscript",
    "application/x-shockwave-flash",
    "application/xhtml+xml",
    "image/svg+xml",
    "text/ecmascript",
    "text/html",
    "text/javascript",
    "text/x-php",
    "text/x-shellscript",
];

/// What is wrong with how a file is declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It runs when it is opened.
    Active(String),
    /// It is something else.
    Other {
        /// What it is declared to be.
        declared: String,
        /// What it looks like.
        found: String,
    },
}

/// Compares what a file is declared to be with how it begins.
pub(super) fn check(declared: &str, head: &[u8]) -> Result<(), Wrong> {
    let declared = declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if declared == OCTETS {
        return Ok(());
    }
    if ACTIVE.contains(&declared.as_str()) {
        return Err(Wrong::Active(declared));
    }
    let other = |found: &str| Err(Wrong::Other { declared: declared.clone(), found: found.to_owned() });
    if let Some(page) = page(head) {
        return Err(Wrong::Active(page.to_owned()));
    }
    match infer::get(head) {
        Some(found) if found.matcher_type() == MatcherType::App || ACTIVE.contains(&found.mime_type()) => {
            Err(Wrong::Active(found.mime_type().to_owned()))
        }
        Some(found) if agree(&declared, found.mime_type()) => Ok(()),
        Some(found) => other(found.mime_type()),
        // A type that is known by how it begins begins so, and text has no zeroes.
        None if has_signature(&declared) && !head.is_empty() => other(OCTETS),
        None if is_text(&declared) && head.contains(&0) => other(OCTETS),
        None => Ok(()),
    }
}

/// A page or a picture in which scripts can stand, by its first element.
fn page(head: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    // What may stand before the first element of a document: declarations, instructions and comments.
    loop {
        let end = match rest {
            _ if rest.starts_with("<!doctype html") => return Some("text/html"),
            _ if rest.starts_with("<!--") => "-->",
            _ if rest.starts_with("<?") => "?>",
            _ if rest.starts_with("<!") => ">",
            _ => break,
        };
        rest = rest.split_once(end)?.1.trim_start();
    }
    let begins = |name: &str| {
        let after = rest.strip_prefix('<').and_then(|rest| rest.strip_prefix(name));
        after.is_some_and(|after| !after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-'))
    };
    if begins("svg") || begins("svg:svg") {
        return Some("image/svg+xml");
    }
    ["html", "head", "body", "script", "iframe"].into_iter().any(begins).then_some("text/html")
}

/// Whether two media types can be of the same file.
fn agree(declared: &str, found: &str) -> bool {
    let plain = |of: &str| {
        let (top, sub) = of.split_once('/').unwrap_or((of, ""));
        (top.to_owned(), sub.strip_prefix("x-").unwrap_or(sub).replace("jpg", "jpeg"))
    };
    let ((declared_top, declared_sub), (found_top, found_sub)) = (plain(declared), plain(found));
    let av = |top: &str| top == "audio" || top == "video";
    // The same container holds sound or pictures; the same text format is text or an application.
    (declared_sub == found_sub && (declared_top == found_top || !av(&declared_top)))
        || (av(&declared_top) && av(&found_top))
        || (is_zip(declared) && is_zip(found))
        || (is_ole(declared) && is_ole(found))
        || (is_xml(declared) && is_xml(found))
        || (declared == "text/plain" && is_xml(found))
}

/// Formats that are zip archives.
fn is_zip(of: &str) -> bool {
    let inside = ["zip", "openxmlformats", "opendocument", "google-earth.kmz", "oasis"];
    inside.into_iter().any(|part| of.contains(part))
}

/// Formats of older office programs (compound files).
fn is_ole(of: &str) -> bool {
    let known = ["application/msword", "application/x-ole-storage", "application/vnd.visio"];
    known.contains(&of) || of.starts_with("application/vnd.ms-")
}

fn is_xml(of: &str) -> bool {
    of.ends_with("/xml") || of.ends_with("+xml")
}

fn is_text(of: &str) -> bool {
    of.starts_with("text/") || of.ends_with("json") || is_xml(of)
}

/// Whether files of a type begin with bytes of their own.
fn has_signature(declared: &str) -> bool {
    let sure = declared.starts_with("image/") || declared == "application/pdf" || declared == "application/zip";
    sure && infer::is_mime_supported(declared)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    const PDF: &[u8] = b"%PDF-1.7\n";
    const ELF: &[u8] = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    const ZIP: &[u8] = b"PK\x03\x04\x14\0\0\0\0\0";

    fn what(declared: &str, head: &[u8]) -> &'static str {
        match check(declared, head) {
            Ok(()) => "taken",
            Err(Wrong::Active(_)) => "active",
            Err(Wrong::Other { .. }) => "other",
        }
    }

    #[test]
    fn declarations_are_held_against_the_content() {
        for (declared, head, expect) in [
            ("image/png", PNG, "taken"),
            ("image/png; name=x", PNG, "taken"),
            ("IMAGE/PNG", PNG, "taken"),
            ("image/jpeg", PNG, "other"),
            ("application/pdf", PNG, "other"),
            ("application/pdf", PDF, "taken"),
            ("application/pdf", b"EXERCISE", "other"),
            ("image/png", b"EXERCISE", "other"),
            ("image/png", b"", "taken"),
            ("application/zip", ZIP, "taken"),
            ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", ZIP, "taken"),
            ("application/pdf", ZIP, "other"),
            ("text/plain", b"EXERCISE\nB\xc3\xa1o c\xc3\xa1o", "taken"),
            ("text/plain", b"EXERCISE\0", "other"),
            ("application/json", b"{\"text\":\"<script>\"}", "taken"),
            ("application/json", PNG, "other"),
            ("application/xml", b"<?xml version=\"1.0\"?>\n<incident/>", "taken"),
            ("text/csv", b"a,b\n", "taken"),
            ("application/vnd.nobody.knows", b"\x01\x02\x03", "taken"),
        ] {
            assert_eq!(what(declared, head), expect, "{declared} {head:?}");
        }
    }

    #[test]
    fn what_runs_is_taken_as_octets_only() {
        let svg = b"<?xml version=\"1.0\"?><!-- EXERCISE --><!DOCTYPE svg><svg onload=\"x()\"/>".as_slice();
        for head in [
            ELF,
            b"#!/bin/sh\necho EXERCISE\n",
            svg,
            b"\xef\xbb\xbf <!DOCTYPE html><p>",
            b"<html>",
            b"<SCRIPT>x()</SCRIPT>",
        ] {
            for declared in ["text/plain", "application/xml", "image/png", "application/pdf", "application/json"] {
                assert_eq!(what(declared, head), "active", "{declared} {head:?}");
            }
            assert_eq!(what("application/octet-stream", head), "taken", "{head:?}");
        }
        for declared in ACTIVE {
            assert_eq!(what(declared, b"EXERCISE"), "active", "{declared}");
        }
        assert_eq!(what("text/html; charset=utf-8", b"EXERCISE"), "active");
        // What only looks like it is not.
        assert_eq!(what("application/xml", b"<svgs/>"), "taken");
        assert_eq!(what("text/plain", b"EXERCISE <html>"), "taken");
    }
}
