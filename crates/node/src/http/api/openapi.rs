//! The description of the API (OpenAPI 3.1), made from the code, and the operation that each request is for.
//!
//! A handler says what it is with `#[utoipa::path]`; its operation id is also the name by which the gate knows the action. What
//! holds for every operation (problems, who may ask) is added here, once.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use mufakat_record::Digest;
use utoipa::openapi::path::{Operation as Described, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    Components, ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, ResponseBuilder,
    Schema,
};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::once;
use super::problem::{PROBLEM_TYPE, Problem};

/// The version of the API; it stands in every path.
const VERSION: &str = "1";
/// The answers that are problems, as ranges of statuses.
const PROBLEMS: [&str; 2] = ["4XX", "5XX"];
/// The name of the cookie with which a browser shows its session.
const COOKIE: &str = "__Host-mufakat";

/// The operation that a request is for, by its name in the description. The gate decides by it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Operation(Arc<str>);

impl Operation {
    /// Its name.
    pub(crate) fn id(&self) -> &str {
        &self.0
    }

    /// The operation of this name.
    #[cfg(test)]
    pub(crate) fn named(id: &str) -> Self {
        Self(id.into())
    }
}

/// The operations by method and path.
pub(super) type Operations = Arc<HashMap<(Method, String), Operation>>;

/// The description as it is served.
struct Document {
    json: String,
    tag: HeaderValue,
}

/// The router with its description served beside it, and its operations. `open` are those that need no caller and are served
/// elsewhere.
pub(super) fn described(routes: OpenApiRouter, open: OpenApi) -> (Router, Operations) {
    let (router, api) = routes.routes(routes!(show_api)).split_for_parts();
    let api = completed(api, open);
    let operations = Arc::new(operations(&api));
    // Nothing in it can fail to be written: names are strings, and numbers are finite.
    let json = api.to_json().expect("a description as JSON");
    let tag = format!("\"{}\"", Digest::of(json.as_bytes()));
    let tag = HeaderValue::try_from(tag).expect("a tag of hexadecimal digits");
    (router.layer(Extension(Arc::new(Document { json, tag }))), operations)
}

/// Tells the handlers and the gate which operation a request is for.
pub(super) async fn name_operation(State(operations): State<Operations>, mut request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    // A path that is asked for its head is asked as if for the whole.
    let method = if *request.method() == Method::HEAD { Method::GET } else { request.method().clone() };
    let named = path.and_then(|path| operations.get(&(method, path.as_str().to_owned()))).cloned();
    if let Some(operation) = named {
        request.extensions_mut().insert(operation);
    }
    next.run(request).await
}

/// The description of this API (OpenAPI 3.1).
#[utoipa::path(
    get, path = "/api/v1/openapi.json", operation_id = "show_api", tag = "node",
    responses((status = 200, description = "The description.", body = Object))
)]
async fn show_api(Extension(document): Extension<Arc<Document>>, headers: HeaderMap) -> Response {
    let tag = (header::ETAG, document.tag.clone());
    if headers.get(header::IF_NONE_MATCH) == Some(&document.tag) {
        return (StatusCode::NOT_MODIFIED, [tag]).into_response();
    }
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json")), tag], document.json.clone()).into_response()
}

/// What holds for every operation is said once and added to each.
fn completed(mut api: OpenApi, open: OpenApi) -> OpenApi {
    let posts = api.paths.paths.values_mut().filter_map(|item| item.post.as_mut());
    for operation in posts.filter(|operation| takes_key(operation)) {
        operation.parameters.get_or_insert_default().push(key_parameter());
    }
    api.merge(open);
    let license = LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build();
    let about =
        "The local API of a node: what the agency's people and programs ask of it. docs/api.md gives the conventions.";
    let info = InfoBuilder::new().title("Mufakat").version(VERSION).description(Some(about)).license(Some(license));
    let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name())));
    let problem = ResponseBuilder::new()
        .description("A problem: what was not done, and why (RFC 9457).")
        .content(PROBLEM_TYPE, problem.build());
    let components = api.components.get_or_insert_with(Components::new);
    open_flattened(&mut components.schemas);
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    components.responses.insert("Problem".to_owned(), problem.build().into());
    let cookie = ApiKey::Cookie(ApiKeyValue::with_description(COOKIE, "The session of an officer in a browser."));
    components.add_security_scheme("session", SecurityScheme::ApiKey(cookie));
    let bearer =
        HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("A session or a token of an officer."));
    components.add_security_scheme("token", SecurityScheme::Http(bearer.build()));
    for item in api.paths.paths.values_mut() {
        for operation in operations_of(item).into_iter().filter_map(|(_, operation)| operation.as_mut()) {
            for range in PROBLEMS {
                let problem = RefOr::Ref(Ref::from_response_name("Problem"));
                operation.responses.responses.entry(range.to_owned()).or_insert(problem);
            }
        }
    }
    let none: [&str; 0] = [];
    // At the socket nothing is shown: whoever can open it is the operator.
    let security = [SecurityRequirement::new("session", none), SecurityRequirement::new("token", none)];
    let whole = OpenApiBuilder::from(api).info(info.build()).security(Some(security));
    whole.build()
}

/// What is flattened into another object stands beside members that it does not know, and cannot say that there are none.
fn open_flattened(schemas: &mut BTreeMap<String, RefOr<Schema>>) {
    let wholes = schemas.values().filter_map(|schema| match schema {
        RefOr::T(Schema::AllOf(whole)) => Some(&whole.items),
        _ => None,
    });
    let parts = wholes.flatten().filter_map(|part| match part {
        RefOr::Ref(part) => part.ref_location.rsplit('/').next().map(str::to_owned),
        RefOr::T(_) => None,
    });
    for name in parts.collect::<Vec<_>>() {
        if let Some(RefOr::T(Schema::Object(part))) = schemas.get_mut(&name) {
            part.additional_properties = None;
        }
    }
}

/// Whether a request to this operation may be sent again with a key: it makes something, and its answer can be kept.
fn takes_key(operation: &Described) -> bool {
    let makes = operation.responses.responses.contains_key(StatusCode::CREATED.as_str());
    // Who has not signed in has no keys.
    let signed_in = operation.security.is_none();
    makes && signed_in && operation.operation_id.as_ref().is_some_and(|id| once::no_key(id).is_none())
}

fn key_parameter() -> Parameter {
    let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some(once::KEY_PATTERN));
    let what = "What the caller calls this request. Sent again with the same key it is carried out once, and answered the same.";
    let named =
        ParameterBuilder::new().name("Idempotency-Key").parameter_in(ParameterIn::Header).description(Some(what));
    named.schema(Some(text.build())).build()
}

fn operations_of(item: &mut PathItem) -> [(Method, &mut Option<Described>); 5] {
    [
        (Method::GET, &mut item.get),
        (Method::POST, &mut item.post),
        (Method::PUT, &mut item.put),
        (Method::PATCH, &mut item.patch),
        (Method::DELETE, &mut item.delete),
    ]
}

fn operations(api: &OpenApi) -> HashMap<(Method, String), Operation> {
    let mut operations = HashMap::new();
    for (path, item) in &mut api.paths.paths.clone() {
        for (method, operation) in operations_of(item) {
            let id = operation.take().and_then(|operation| operation.operation_id);
            if let Some(id) = id {
                operations.insert((method, path.clone()), Operation(id.into()));
            }
        }
    }
    operations
}

/// The description of the whole API.
#[cfg(test)]
pub(crate) fn description() -> OpenApi {
    completed(super::described().routes(routes!(show_api)).into_openapi(), super::open())
}

/// Bytes that are no JSON.
pub(super) enum Octets {}

impl PartialSchema for Octets {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::Binary);
        ObjectBuilder::new().schema_type(Type::String).format(Some(format)).build().into()
    }
}

impl ToSchema for Octets {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Octets")
    }
}

impl PartialSchema for Problem {
    fn schema() -> RefOr<Schema> {
        let text = |what: &str| ObjectBuilder::new().schema_type(Type::String).description(Some(what));
        let status = ObjectBuilder::new().schema_type(Type::Integer).description(Some("The HTTP status."));
        let problem = ObjectBuilder::new()
            .description(Some("A problem (RFC 9457). Some have members of their own."))
            .property("type", text("`about:blank`: the title is the status in words."))
            .property("title", text("The status in words."))
            .property("status", status)
            .property(
                "detail",
                text("What happened and what to do about it, for people; it names the field and the rule."),
            )
            .property("reason", text("The name of the reason, for programs."));
        let required = ["type", "title", "status", "detail", "reason"];
        required.into_iter().fold(problem, |problem, name| problem.required(name)).build().into()
    }
}

impl ToSchema for Problem {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Problem")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn document() -> Value {
        serde_json::from_str(&description().to_json().unwrap()).unwrap()
    }

    /// Every operation with its path and method.
    fn all(document: &Value) -> Vec<(&str, &str, &Value)> {
        let paths = document["paths"].as_object().unwrap();
        paths
            .iter()
            .flat_map(|(path, item)| item.as_object().unwrap().iter().map(move |(m, o)| (path.as_str(), m.as_str(), o)))
            .collect()
    }

    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_and_a_word_on_what_it_does() {
        let document = document();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        let mut names = BTreeSet::new();
        for (path, method, operation) in all(&document) {
            let id = operation["operationId"].as_str().unwrap();
            assert!(path.starts_with("/api/v1/"), "{path}");
            assert!(id.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{id}");
            assert!(names.insert(id), "{method} {path}: {id} is the name of another operation");
            assert!(operation["summary"].is_string(), "{id} says nothing of itself");
            assert_eq!(operation["tags"].as_array().map(Vec::len), Some(1), "{id}");
            for range in PROBLEMS {
                assert_eq!(operation["responses"][range]["$ref"], "#/components/responses/Problem", "{id}");
            }
            assert!(operation["responses"].as_object().unwrap().len() > PROBLEMS.len(), "{id} never succeeds");
            // What stands in the path is described, and nothing else is said to stand there.
            let told = operation["parameters"].as_array().cloned().unwrap_or_default();
            let told = told.iter().filter(|parameter| parameter["in"] == "path").map(|parameter| &parameter["name"]);
            let told: BTreeSet<_> = told.filter_map(Value::as_str).collect();
            let stands = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
            assert_eq!(told, stands.collect(), "{id}");
        }
    }

    /// What the console's types are generated from is what the node serves.
    #[test]
    fn the_console_is_built_for_this_api() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let web = root.join("web/openapi.json");
        let mut now = description().to_pretty_json().unwrap();
        now.push('\n');
        if std::fs::read_to_string(&web).unwrap_or_default() != now {
            std::fs::write(root.join("target/openapi.json"), &now).unwrap();
            panic!("web/openapi.json is of another API; look at target/openapi.json and put it in its place");
        }
    }

    #[test]
    fn what_makes_something_and_shows_no_secret_takes_a_key() {
        let document = document();
        let takes_key = |wanted: &str| {
            let (_, _, operation) = all(&document).into_iter().find(|(_, _, o)| o["operationId"] == wanted).unwrap();
            operation["parameters"].as_array().is_some_and(|all| all.iter().any(|p| p["name"] == "Idempotency-Key"))
        };
        assert!(
            ["share_record", "ask_request", "place_hold", "grant_officer"].map(takes_key) == [true, true, true, false]
        );
        for no in ["make_subject_file", "preview_draft", "create_token", "invite_officer", "finish_sign_in"] {
            assert!(!takes_key(no), "{no}");
        }
    }

    #[test]
    fn no_two_things_have_one_name() {
        let mut named: BTreeMap<String, Value> = BTreeMap::new();
        let subjects = super::super::subjects().into_iter().map(OpenApiRouter::into_openapi);
        let schemas = subjects.chain([super::super::open()]).filter_map(|api| Some(api.components?.schemas)).flatten();
        for (name, schema) in schemas {
            let schema = serde_json::to_value(&schema).unwrap();
            let before = named.entry(name.clone()).or_insert_with(|| schema.clone());
            assert_eq!(*before, schema, "{name} names two things; give one another with `#[schema(as = …)]`");
        }
        assert!(named.len() > 100, "{}", named.len());
    }

    #[test]
    fn what_is_flattened_lets_other_members_be() {
        let document = document();
        let schemas = &document["components"]["schemas"];
        assert_eq!(schemas["Register"]["allOf"][0]["$ref"], "#/components/schemas/RegisterVersion");
        assert_eq!(schemas["RegisterVersion"]["additionalProperties"], Value::Null);
        assert_eq!(schemas["Envelope"]["additionalProperties"], false);
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.len() > 20, "{found:?}");
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn operations_are_found_by_method_and_path() {
        let operations = operations(&description());
        let name = |method, path: &str| operations.get(&(method, path.to_owned())).map(Operation::id);
        assert_eq!(name(Method::GET, "/api/v1/records/{id}"), Some("show_record"));
        assert_eq!(name(Method::POST, "/api/v1/records"), Some("share_record"));
        assert_eq!(name(Method::GET, "/api/v1/records"), None);
        let document = document();
        assert_eq!(operations.len(), all(&document).len());
    }
}
