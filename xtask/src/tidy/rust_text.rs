//! Just enough reading of Rust source to tell code from prose, and code from its tests.

/// The source with the inside of comments, strings and character literals blanked, line for line.
pub(super) fn code(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_or_comment_end(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
            continue;
        }
        out.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    out
}

/// Where the comment or literal that begins at `at` ends; `at` itself when none begins there.
fn literal_or_comment_end(chars: &[char], at: usize) -> usize {
    let next = chars.get(at + 1);
    match chars[at] {
        '/' if next == Some(&'/') => find(chars, at, |rest| rest[0] == '\n'),
        '/' if next == Some(&'*') => block_comment_end(chars, at),
        '"' => escaped_end(chars, at, '"'),
        'r' => raw_string_end(chars, at),
        '\'' if next == Some(&'\\') => escaped_end(chars, at, '\''),
        '\'' if chars.get(at + 2) == Some(&'\'') => at + 3,
        // Anything else after a quote is a lifetime.
        _ => at,
    }
}

/// The first position from `at` on where `stop` holds for what is left, or the end.
fn find(chars: &[char], at: usize, stop: impl Fn(&[char]) -> bool) -> usize {
    (at..chars.len()).find(|&place| stop(&chars[place..])).unwrap_or(chars.len())
}

/// Block comments nest.
fn block_comment_end(chars: &[char], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0_usize);
    while at < chars.len() {
        if chars[at..].starts_with(&['/', '*']) {
            depth += 1;
            at += 2;
        } else if chars[at..].starts_with(&['*', '/']) {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    chars.len()
}

fn escaped_end(chars: &[char], start: usize, quote: char) -> usize {
    let mut at = start + 1;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

fn raw_string_end(chars: &[char], start: usize) -> usize {
    let hashes = chars[start + 1..].iter().take_while(|&&c| c == '#').count();
    let open = start + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return start;
    }
    let mut close = vec!['"'];
    close.resize(1 + hashes, '#');
    let end = find(chars, open + 1, |rest| rest.starts_with(&close));
    (end + close.len()).min(chars.len())
}

/// Code (as [`code`] gives it) with everything under `#[cfg(test)]` blanked, and the names of the modules in other
/// files that are compiled for tests only.
pub(super) fn without_tests(code: &str) -> (String, Vec<String>) {
    const ATTRIBUTE: &str = "#[cfg(test)]";
    if code.contains("#![cfg(test)]") {
        return (code.lines().map(|_| "\n").collect(), Vec::new());
    }
    let mut bytes = code.as_bytes().to_vec();
    let mut modules = Vec::new();
    let mut from = 0;
    while let Some(found) = code[from..].find(ATTRIBUTE) {
        let start = from + found;
        let end = item_end(code.as_bytes(), start + ATTRIBUTE.len());
        let item = code[start..end].trim_end();
        if let Some(name) = item.strip_suffix(';').and_then(|item| item.rsplit_once("mod ")) {
            modules.push(name.1.trim().to_owned());
        }
        bytes[start..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        from = end;
    }
    (String::from_utf8(bytes).expect("whole items were replaced by ASCII"), modules)
}

/// Where the item that begins at `start` ends: behind its block or its semicolon, or where the enclosing block closes.
fn item_end(bytes: &[u8], start: usize) -> usize {
    let (mut round, mut curly) = (0_usize, 0_usize);
    for (at, byte) in bytes.iter().enumerate().skip(start) {
        match byte {
            b'(' | b'[' => round += 1,
            b')' | b']' => round = round.saturating_sub(1),
            b'{' => curly += 1,
            b'}' if curly == 0 => return at,
            b'}' if curly == 1 && round == 0 => return at + 1,
            b'}' => curly -= 1,
            b';' if curly == 0 && round == 0 => return at + 1,
            _ => {}
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_code_stays() {
        let check = |source: &str, expect: &str| {
            let words = code(source).split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(words, expect, "in {source}");
            assert_eq!(code(source).lines().count(), source.lines().count(), "lines of {source}");
        };
        check("a // b\nc", "a c");
        check("a /* b /* c */\nd */ e", "a e");
        check(r#"a("b \" // c", 'd', '\'', '"') e"#, "a( , , , ) e");
        check("a(r\"b\\\", r#\"c \" d\"#, br##\"e\"# f\"##) g", "a( , , b ) g");
        check("fn f<'a>(x: &'a str) -> &'static str { r#type }", "fn f<'a>(x: &'a str) -> &'static str { r#type }");
        check("a \"never closed", "a");
        check("a /* never closed", "a");
    }

    #[test]
    fn items_for_tests_are_blanked_and_what_follows_stays() {
        let check = |source: &str, expect: &str, modules: &[&str]| {
            let (text, found) = without_tests(source);
            assert_eq!(text.split_whitespace().collect::<Vec<_>>().join(" "), expect, "in {source}");
            assert_eq!(found, modules, "in {source}");
        };
        check("a; #[cfg(test)] mod tests { fn f() { b } } c;", "a; c;", &[]);
        check("#[cfg(test)] #[path(x)] use x::{y, z}; c;", "; c;", &[]);
        check("#[cfg(test)] const B: [u8; 2] = [1; 2]; c;", "c;", &[]);
        check("#[cfg(test)]\npub(crate) mod tests; c;", "c;", &["tests"]);
        check("struct S { a: u8, #[cfg(test)] b: u8 } c;", "struct S { a: u8, } c;", &[]);
        check("#![cfg(test)]\na;", "", &[]);
        check("#[cfg(unix)] mod a { b }", "#[cfg(unix)] mod a { b }", &[]);
    }
}
