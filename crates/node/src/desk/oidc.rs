//! Signing in by an identity provider (OpenID Connect Core 1.0): authorisation code with PKCE (RFC 7636), nonce and state. An
//! officer is known by issuer and subject, which an invitation binds at the first sign-in; what else the provider says of a
//! person counts for nothing here.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use mufakat_record::RecordId;
use mufakat_record::kinds::credential::{Credential, Means};
use mufakat_views::officers::SignInNote;
use openidconnect::core::{CoreAuthenticationFlow, CoreClient, CoreJwsSigningAlgorithm, CoreProviderMetadata};
use openidconnect::{
    AsyncHttpClient, AuthorizationCode, ClientId, ClientSecret, CsrfToken, HttpRequest, HttpResponse, IssuerUrl, Nonce,
    OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, TokenResponse as _,
};

use super::enrol::invited;
use super::officers::{Key, Officer};
use super::passkeys::{count_beginning, failed, may_try, not_set_up, remember, take};
use super::secret::Secret;
use super::state::{Ceremony, Error, alone, open_session, put, refresh};
use crate::config::Config;
use crate::http::api::problem::Problem;
use crate::net::web::{self, Web};
use crate::node::Node;
use crate::writer::Fault;

/// Where the provider sends the browser back to, at the origin of the desk.
pub(crate) const CALLBACK: &str = "/api/v1/session/oidc/callback";
/// How long one call to the provider may take.
const CALL_MAX: Duration = Duration::from_secs(10);
/// The largest answer that is taken from the provider, in bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// The largest file with a client's secret, in bytes.
const SECRET_BYTES_MAX: usize = 4096;
/// The algorithms with which a provider may sign. None of them is symmetric or none at all.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 6] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
];

/// The identity provider of the agency.
pub(super) struct Provider {
    issuer: IssuerUrl,
    client: ClientId,
    secret: Option<ClientSecret>,
    redirect: RedirectUrl,
    web: Web,
}

/// What is remembered until the browser comes back.
pub(super) struct Pending {
    metadata: CoreProviderMetadata,
    nonce: Nonce,
    verifier: PkceCodeVerifier,
    invitation: Option<RecordId>,
}

/// Why the provider did not say who it is. For the log of the operator; whoever signs in learns only that it failed.
#[derive(Debug, thiserror::Error)]
enum NotSaid {
    #[error("the code was not exchanged: {0}")]
    Exchange(String),
    #[error("there is no identity token")]
    NoToken,
    #[error("the identity token does not hold: {0}")]
    Token(String),
}

impl Provider {
    /// The provider of the configuration, if there is one.
    pub(super) fn of(config: &Config) -> Result<Option<Self>, Error> {
        let oidc = &config.oidc;
        let (Some(issuer), Some(origin)) = (&oidc.issuer, &config.desk.origin) else { return Ok(None) };
        let wrong = |e: &dyn std::fmt::Display| Error::Origin(e.to_string());
        let secret = match &oidc.client_secret_file {
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|e| Error::File(path.clone(), e.to_string()))?;
                if text.len() > SECRET_BYTES_MAX || text.trim().is_empty() {
                    return Err(Error::File(path.clone(), "it holds no client secret".to_owned()));
                }
                Some(ClientSecret::new(text.trim().to_owned()))
            }
            None => None,
        };
        let web = if issuer.starts_with("https:") {
            let path = &oidc.certificates;
            Web::trusting(path).map_err(|e| Error::File(path.clone(), e.to_string()))?
        } else {
            Web::plain()
        };
        Ok(Some(Self {
            issuer: IssuerUrl::new(issuer.clone()).map_err(|e| wrong(&e))?,
            client: ClientId::new(oidc.client_id.clone().unwrap_or_default()),
            secret,
            redirect: RedirectUrl::new(format!("{origin}{CALLBACK}")).map_err(|e| wrong(&e))?,
            web,
        }))
    }

    /// What the provider says of itself now, with its present keys.
    async fn discover(&self) -> Result<CoreProviderMetadata, String> {
        CoreProviderMetadata::discover_async(self.issuer.clone(), self).await.map_err(|error| error.to_string())
    }

    /// The subject for whom a code was given out.
    async fn subject(&self, pending: Pending, code: String) -> Result<String, NotSaid> {
        let client = CoreClient::from_provider_metadata(pending.metadata, self.client.clone(), self.secret.clone())
            .set_redirect_uri(self.redirect.clone());
        let exchange = client.exchange_code(AuthorizationCode::new(code));
        let exchange = exchange.map_err(|e| NotSaid::Exchange(e.to_string()))?.set_pkce_verifier(pending.verifier);
        let answer = exchange.request_async(self).await.map_err(|e| NotSaid::Exchange(e.to_string()))?;
        let token = answer.id_token().ok_or(NotSaid::NoToken)?;
        let verifier = client.id_token_verifier().set_allowed_algs(ALGORITHMS);
        let claims = token.claims(&verifier, &pending.nonce).map_err(|e| NotSaid::Token(e.to_string()))?;
        if let Some(expected) = claims.access_token_hash() {
            let wrong = |e: &dyn std::fmt::Display| NotSaid::Token(e.to_string());
            let algorithm = token.signing_alg().map_err(|e| wrong(&e))?;
            let key = token.signing_key(&verifier).map_err(|e| wrong(&e))?;
            let actual = openidconnect::AccessTokenHash::from_token(answer.access_token(), algorithm, key);
            if actual.map_err(|e| wrong(&e))? != *expected {
                return Err(wrong(&"it belongs to another access token"));
            }
        }
        Ok(claims.subject().as_str().to_owned())
    }
}

/// Carries out calls for the library. Redirections are not followed.
impl<'c> AsyncHttpClient<'c> for Provider {
    type Error = web::Error;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, web::Error>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(web::call(&self.web, request, CALL_MAX, ANSWER_BYTES_MAX))
    }
}

/// Begins a sign-in, the first one with an invitation: where to send the browser, and the state that it must bring back.
pub(crate) async fn begin(
    node: &Arc<Node>,
    from: IpAddr,
    invitation: Option<&str>,
) -> Result<(String, String), Problem> {
    may_try(node, from, None)?;
    count_beginning(node, from)?;
    let provider = node.desk.oidc.as_ref().ok_or_else(|| not_set_up(&"`oidc.issuer` is not set"))?;
    let invitation = match invitation {
        Some(text) => Some(invited(node, text).ok_or_else(|| failed(node, from))?.1.id),
        None => None,
    };
    let metadata = provider.discover().await.map_err(|why| {
        tracing::warn!(%why, "the identity provider cannot be asked");
        Problem::new(http::StatusCode::BAD_GATEWAY, "provider-away", "the identity provider cannot be asked now")
    })?;
    let client = CoreClient::from_provider_metadata(metadata.clone(), provider.client.clone(), provider.secret.clone())
        .set_redirect_uri(provider.redirect.clone());
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let nonce = Nonce::new_random();
    let pending = Pending { metadata, nonce: nonce.clone(), verifier, invitation };
    let state = remember(node, Ceremony::Oidc(Box::new(pending)))?;
    let said = state.clone();
    let flow = CoreAuthenticationFlow::AuthorizationCode;
    let (url, _, _) = client
        .authorize_url(flow, move || CsrfToken::new(said.clone()), move || nonce.clone())
        .set_pkce_challenge(challenge)
        .url();
    Ok((url.to_string(), state))
}

/// Finishes a sign-in: the officer and the secret of a session. `kept` is the state as the browser kept it, so that nobody is
/// signed in by a link that somebody else began.
pub(crate) async fn finish(
    node: &Arc<Node>,
    from: IpAddr,
    (state, kept): (&str, Option<&str>),
    code: String,
) -> Result<(Arc<Officer>, Secret), Problem> {
    may_try(node, from, None)?;
    let same = kept.is_some_and(|kept| {
        aws_lc_rs::constant_time::verify_slices_are_equal(kept.as_bytes(), state.as_bytes()).is_ok()
    });
    let pending = if same { take(node, state) } else { None };
    let (Some(Ceremony::Oidc(pending)), Some(provider)) = (pending, node.desk.oidc.as_ref()) else {
        return Err(failed(node, from));
    };
    let invitation = pending.invitation;
    let issuer = provider.issuer.as_str().to_owned();
    let subject = provider.subject(*pending, code).await.map_err(|why| {
        tracing::info!(%why, "nobody was signed in by the identity provider");
        failed(node, from)
    })?;
    let alone = alone(node).await;
    let key = Key::Account(issuer.clone(), subject.clone());
    if let Some(invitation) = invitation {
        let holder = node.desk.officers(|officers| officers.holder(&invitation));
        let (Some(officer), false) = (holder, node.desk.officers(|officers| officers.knows(&key))) else {
            return Err(failed(node, from));
        };
        let means = Means::Oidc { issuer, subject, invitation };
        let credential = Credential { officer: officer.id.clone(), means, by: Some(officer.id.clone()) };
        put(node, &alone, &officer.id, credential).await??;
    }
    let found = node.desk.officers(|officers| officers.by_key(&key));
    let (officer, held) = found.ok_or_else(|| failed(node, from))?;
    may_try(node, from, Some(&officer.id))?;
    let note = SignInNote { means: held.means.name().to_owned(), credential: held.id, counter: None };
    let session = open_session(node, &officer, held.id, note.to_string()).await?.ok_or(Fault::Overloaded)?;
    refresh(node, &officer.id).await?;
    Ok((officer, session))
}
