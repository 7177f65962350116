//! The calls about JWT-SVIDs that are answered once: tokens for the caller, and tokens that others showed it.

use std::collections::BTreeMap;

use api::workload::{Jwtsvid, JwtsvidRequest, JwtsvidResponse, ValidateJwtsvidRequest, ValidateJwtsvidResponse};
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use tonic::Status;
use types::{SpiffeId, limits};

use crate::callers::Caller;
use crate::refusal::Refusal;
use crate::state::hints;

/// What a caller wants tokens for.
pub(crate) struct Order {
    audience: Vec<String>,
    /// All of its identities where none is named.
    id: Option<SpiffeId>,
}

impl Order {
    /// Reads a request. Nothing is looked up for one that cannot be met (WA-5).
    ///
    /// # Errors
    /// `InvalidArgument` without audience, or with too many, too long or empty ones, and for a name that is no SPIFFE ID.
    pub fn read(request: JwtsvidRequest) -> Result<Self, Status> {
        let JwtsvidRequest { audience, spiffe_id } = request;
        if audience.is_empty() {
            return Err(Status::invalid_argument("name at least one audience: whom the token is for"));
        }
        if audience.len() > limits::JWT_AUDIENCES.default_usize() {
            return Err(Status::invalid_argument(format!("at most {} audiences", limits::JWT_AUDIENCES.default)));
        }
        audience.iter().try_for_each(|audience| check_audience(audience))?;
        let id = match spiffe_id.as_str() {
            "" => None,
            text => Some(SpiffeId::parse(text).map_err(|_| Status::invalid_argument("`spiffe_id` is no SPIFFE ID"))?),
        };
        Ok(Self { audience, id })
    }
}

fn check_audience(audience: &str) -> Result<(), Status> {
    if audience.is_empty() {
        return Err(Status::invalid_argument("the audience must not be empty"));
    }
    if audience.len() > limits::JWT_AUDIENCE_BYTES.default_usize() {
        let most = limits::JWT_AUDIENCE_BYTES.default;
        return Err(Status::invalid_argument(format!("an audience has at most {most} bytes")));
    }
    Ok(())
}

/// `FetchJWTSVID`: a token for each identity that is wanted, or none at all.
pub(crate) async fn fetch(caller: &Caller, order: &Order) -> Result<JwtsvidResponse, Status> {
    match svids(caller, order).await {
        Ok(svids) if caller.peer.process.is_alive() => Ok(JwtsvidResponse { svids }),
        Ok(_) => Err(Status::unavailable("the calling process has ended")),
        Err(refusal) => Err(caller.refuse(&refusal)),
    }
}

async fn svids(caller: &Caller, order: &Order) -> Result<Vec<Jwtsvid>, Refusal> {
    let (source, selectors) = (&caller.source, &caller.selectors);
    let kept = |source: &crate::state::Source| source.tokens.still_good(selectors, &order.audience);
    let entitled = source.entitled(selectors, kept).await?;
    let hints = hints(entitled.iter().map(|entitled| &entitled.id));
    let mut svids = Vec::new();
    for (entitled, hint) in entitled.iter().zip(hints) {
        if order.id.as_ref().is_none_or(|id| *id == entitled.id) {
            let token = source.tokens.get(selectors, &entitled.id, &order.audience).await?;
            let svid = token.token.as_str().to_owned();
            svids.push(Jwtsvid { spiffe_id: entitled.id.to_string(), svid, hint });
        }
    }
    if svids.is_empty() { Err(Refusal::Another) } else { Ok(svids) }
}

/// `ValidateJWTSVID`: the same rules by which everybody here verifies tokens, under the bundles of this moment.
pub(crate) async fn validate(
    caller: &Caller,
    request: &ValidateJwtsvidRequest,
) -> Result<ValidateJwtsvidResponse, Status> {
    let ValidateJwtsvidRequest { audience, svid } = request;
    check_audience(audience)?;
    if svid.is_empty() {
        return Err(Status::invalid_argument("the token is missing"));
    }
    caller.source.check_known(&caller.selectors).await.map_err(|refusal| caller.refuse(&refusal))?;
    let known = caller.source.trust.now();
    let verified = identity::verify_jwt_svid(svid, audience, &known.set, caller.source.clock.now());
    // The caller has the token; which rule it breaks tells nobody anything new.
    let verified =
        verified.map_err(|refusal| Status::invalid_argument(format!("the JWT-SVID is refused: {refusal}")))?;
    let claims = verified.claims().iter().map(|(name, value)| (name.clone(), protobuf(value))).collect();
    Ok(ValidateJwtsvidResponse { spiffe_id: verified.spiffe_id().to_string(), claims: Some(Struct { fields: claims }) })
}

/// A claim as the message has it. How deep it nests was bounded when it was read.
fn protobuf(value: &serde_json::Value) -> Value {
    let kind = match value {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(truth) => Kind::BoolValue(*truth),
        serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(text) => Kind::StringValue(text.clone()),
        serde_json::Value::Array(items) => Kind::ListValue(ListValue { values: items.iter().map(protobuf).collect() }),
        serde_json::Value::Object(members) => {
            let fields: BTreeMap<_, _> = members.iter().map(|(name, value)| (name.clone(), protobuf(value))).collect();
            Kind::StructValue(Struct { fields })
        }
    };
    Value { kind: Some(kind) }
}
