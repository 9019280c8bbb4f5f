//! The agency's keys: their public halves, and new ones in their place.

use std::sync::Arc;

use axum::extract::State;
use mufakat_record::KeyId;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{Json, Problem};
use crate::keys::{self, PublicKeys, Rotation};
use crate::node::Node;

pub(super) fn routes() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new().routes(routes!(show_keys)).routes(routes!(rotate_keys)).routes(routes!(revoke_key))
}

/// The public halves of the agency's keys.
#[utoipa::path(
    get, path = "/api/v1/keys", operation_id = "show_keys", tag = "node",
    responses((status = 200, description = "The keys.", body = PublicKeys))
)]
async fn show_keys(State(node): State<Arc<Node>>) -> axum::Json<PublicKeys> {
    axum::Json(keys::describe(&node.keyring.load(), node.directory().key_set(&node.me)))
}

/// Which keys are to be replaced.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Rotate {
    what: Rotation,
}

/// Replaces keys now. What was signed and sealed with the old ones stays good.
#[utoipa::path(
    post, path = "/api/v1/keys/rotate", operation_id = "rotate_keys", tag = "node", request_body = Rotate,
    responses((status = 200, description = "The keys as they are now.", body = PublicKeys))
)]
async fn rotate_keys(
    State(node): State<Arc<Node>>,
    Json(asked): Json<Rotate>,
) -> Result<axum::Json<PublicKeys>, Problem> {
    keys::rotate(&node, asked.what).await??;
    Ok(show_keys(State(node)).await)
}

/// Which key is to be revoked.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Revoke {
    key: KeyId,
}

/// Revokes a signing key: partners take nothing more that it signs.
#[utoipa::path(
    post, path = "/api/v1/keys/revoke", operation_id = "revoke_key", tag = "node", request_body = Revoke,
    responses((status = 200, description = "The keys as they are now.", body = PublicKeys))
)]
async fn revoke_key(
    State(node): State<Arc<Node>>,
    Json(asked): Json<Revoke>,
) -> Result<axum::Json<PublicKeys>, Problem> {
    keys::revoke(&node, asked.key).await??;
    Ok(show_keys(State(node)).await)
}
