//! The console: the desk's pages for browsers, as `cargo xtask web` built them into `web/dist`. They are part of the program.
//!
//! Whoever can reach the desk's listener gets them, signed in or not: they hold nothing but code, and ask the API for all else.
//! Where they were not built, a page stands in their place that says so.

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderName, HeaderValue, header};
use rust_embed::Embed;

use super::api::problem::Problem;

/// What was built: one page, and files whose names hold a hash of their content.
#[derive(Embed)]
#[folder = "../../web/dist"]
#[include = "index.html"]
#[include = "assets/*"]
struct Built;

/// What stands in the place of pages that were not built.
const NOT_BUILT: &str = include_str!("not_built.html");
/// What a browser may load and do for the page (W3C Content Security Policy Level 3, W3C Trusted Types): the console's own files
/// and calls to its own node, no script and no style that stands in a page, and no text as markup but through the one library.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types svelte-trusted-html";
/// Which devices the page may use (W3C Permissions Policy): passkeys, and nothing else that browsers hand out by default.
const DEVICES: &str = "publickey-credentials-get=(self), publickey-credentials-create=(self), accelerometer=(), camera=(), \
                       display-capture=(), encrypted-media=(), fullscreen=(), geolocation=(), gyroscope=(), hid=(), \
                       magnetometer=(), microphone=(), midi=(), payment=(), screen-wake-lock=(), serial=(), usb=()";
/// A file never changes under its name.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// The routes of the console. What else a browser is told stands in every answer of the desk.
pub(crate) fn routes() -> Router {
    Router::new().route("/", get(index)).route("/assets/{file}", get(asset))
}

async fn index() -> Response {
    page(Built::get("index.html").map(|file| file.data.into_owned()))
}

/// The page, or the one in its place. The desk says of it, as of all answers, that it is not to be stored.
fn page(built: Option<Vec<u8>>) -> Response {
    let content = built.unwrap_or_else(|| NOT_BUILT.into());
    let say =
        |name: &'static str, value: &'static str| (HeaderName::from_static(name), HeaderValue::from_static(value));
    let headers = [
        say("content-type", "text/html; charset=utf-8"),
        say("content-security-policy", POLICY),
        say("cross-origin-opener-policy", "same-origin"),
        say("permissions-policy", DEVICES),
    ];
    (headers, content).into_response()
}

async fn asset(Path(name): Path<String>) -> Response {
    let kind = match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => return Problem::not_found().into_response(),
    };
    let Some(file) = Built::get(&format!("assets/{name}")) else { return Problem::not_found().into_response() };
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, FOR_EVER)], file.data.into_owned()).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::{Method, Request, StatusCode};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn text(response: Response) -> String {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    async fn ask(method: Method, path: &str) -> Response {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        routes().oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn without_pages_it_is_said_how_to_build_them() {
        let built = page(Some(b"EXERCISE".to_vec()));
        assert_eq!(text(built).await, "EXERCISE");
        assert!(text(page(None)).await.contains("cargo xtask web"));
        // Under this policy a page shows neither a style nor a script of its own.
        for word in ["<style", "style=", "<script"] {
            assert!(!NOT_BUILT.contains(word), "{word}");
        }
    }

    #[tokio::test]
    async fn the_page_is_served_under_a_strict_policy_and_nothing_else_is_a_page() {
        let response = ask(Method::GET, "/").await;
        assert_eq!(response.status(), StatusCode::OK);
        let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(
            policy.starts_with("default-src 'none';") && !policy.contains("unsafe") && !policy.contains('*'),
            "{policy}"
        );
        assert_eq!(ask(Method::HEAD, "/").await.status(), StatusCode::OK);
        assert_eq!(ask(Method::POST, "/").await.status(), StatusCode::METHOD_NOT_ALLOWED);
        for absent in
            ["/index.html", "/enrol", "/assets/", "/assets/index.js", "/assets/..%2findex.html", "/assets/a/b.js"]
        {
            assert_eq!(ask(Method::GET, absent).await.status(), StatusCode::NOT_FOUND, "{absent}");
        }
    }

    #[tokio::test]
    async fn files_with_a_hash_in_their_name_are_kept_for_ever() {
        for name in Built::iter().filter(|name| name.starts_with("assets/")) {
            let response = ask(Method::GET, &format!("/{name}")).await;
            assert_eq!(response.status(), StatusCode::OK, "{name}");
            assert_eq!(response.headers()[header::CACHE_CONTROL], FOR_EVER);
            assert_ne!(response.headers()[header::CONTENT_TYPE], "application/octet-stream");
        }
    }
}
