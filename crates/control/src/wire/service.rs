//! The calls of the wire: who may make each, and who answers.

use std::pin::Pin;
use std::sync::Arc;

use ::wire::content;
use ::wire::server::PeerInfo;
use api::admin::Role;
use api::issuance::{JwtSvid, Predecessor, WorkloadOrder};
use api::wire::wire_server::Wire;
use api::wire::{
    ChallengeRequest, ChallengeResponse, JoinRequest, JoinResponse, MintGatewayRequest, MintJwtRequest,
    MintJwtResponse, MintResponse, MintWorkloadRequest, Received, RejoinRequest, RenewRequest, Report, Shipped, Update,
};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};
use types::{Label, Selectors, SpiffeId, limits};

use super::follow::Session;
use super::frames::Allowance;
use super::join::{minted, status_of};
use crate::service::Control;

/// Updates that wait for a slow peer. The state that comes after them is made when there is room.
const AHEAD: usize = 2; // tidy: of our own messages

/// The server's end.
pub(crate) struct Service {
    pub control: Arc<Control>,
    pub finishing: watch::Receiver<bool>,
}

impl Service {
    /// Answers off the threads that carry connections: stores, logs and keys take their time.
    async fn answer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Control) -> Result<T, Status> + Send + 'static,
    ) -> Result<Response<T>, Status> {
        let control = Arc::clone(&self.control);
        let done = tokio::task::spawn_blocking(move || work(&control)).await;
        done.map_err(|_| Status::internal("control failed; its log says why"))?.map(Response::new)
    }
}

#[tonic::async_trait]
impl Wire for Service {
    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let from = from(&request);
        self.answer(move |control| control.join(request.get_ref(), &from)).await
    }

    async fn challenge(&self, _: Request<ChallengeRequest>) -> Result<Response<ChallengeResponse>, Status> {
        let nonce = self.control.hub.nonces.give(self.control.parts.clock.now());
        let nonce = nonce.ok_or_else(|| Status::unavailable("the system gives no random bytes"))?;
        Ok(Response::new(ChallengeResponse { nonce }))
    }

    async fn rejoin(&self, request: Request<RejoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let from = from(&request);
        self.answer(move |control| control.rejoin(request.get_ref(), &from)).await
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<JoinResponse>, Status> {
        self.answer(move |control| {
            let caller = control.caller(request.extensions(), "renew")?;
            control.renew(&caller, &request.get_ref().csr)
        })
        .await
    }

    type FollowStream = ReceiverStream<Result<Update, Status>>;

    async fn follow(&self, request: Request<Streaming<Report>>) -> Result<Response<Self::FollowStream>, Status> {
        let caller = self.control.caller(request.extensions(), "connect")?;
        let (sender, updates) = mpsc::channel(AHEAD);
        let (control, finishing) = (Arc::clone(&self.control), self.finishing.clone());
        let allowance = request.extensions().get::<Allowance>().cloned().unwrap_or_default();
        let session = Session { control, caller, sender, finishing, allowance };
        tokio::spawn(session.run(request.into_inner()));
        Ok(Response::new(ReceiverStream::new(updates)))
    }

    async fn mint_workload(&self, request: Request<MintWorkloadRequest>) -> Result<Response<MintResponse>, Status> {
        self.answer(move |control| {
            let caller = control.caller(request.extensions(), "mint")?;
            caller.must_be(Role::Agent)?;
            let MintWorkloadRequest { selectors, spiffe_id, csr, predecessor } = request.get_ref();
            let selectors = selectors_of(selectors.as_ref())?;
            within(csr.len(), &limits::CSR_BYTES, "the certificate request")?;
            let predecessor = predecessor.as_ref().map(predecessor_of).transpose()?;
            let order = WorkloadOrder { id: id_of(spiffe_id)?, csr_der: csr.clone(), predecessor };
            let svid = control.parts.roles.mint_workload_at(&caller.stands(), &selectors, &order);
            svid.map(minted).map_err(|error| status_of(&error))
        })
        .await
    }

    async fn mint_jwt(&self, request: Request<MintJwtRequest>) -> Result<Response<MintJwtResponse>, Status> {
        self.answer(move |control| {
            let caller = control.caller(request.extensions(), "mint")?;
            caller.must_be(Role::Agent)?;
            let MintJwtRequest { selectors, spiffe_id, audience } = request.get_ref();
            let selectors = selectors_of(selectors.as_ref())?;
            let id = id_of(spiffe_id)?;
            let svid = control.parts.roles.mint_jwt_at(&caller.stands(), &selectors, &id, audience);
            let JwtSvid { spiffe_id, token, issued_at, not_after } = svid.map_err(|error| status_of(&error))?;
            Ok(MintJwtResponse {
                spiffe_id: spiffe_id.to_string(),
                token: token.to_string(),
                issued_at: issued_at.micros(),
                not_after: not_after.micros(),
            })
        })
        .await
    }

    async fn mint_gateway(&self, request: Request<MintGatewayRequest>) -> Result<Response<MintResponse>, Status> {
        self.answer(move |control| {
            let caller = control.caller(request.extensions(), "mint")?;
            let proxy = caller.must_be(Role::Proxy)?;
            let MintGatewayRequest { domain, csr } = request.get_ref();
            let domain = Label::parse(domain).map_err(|error| bad(&error.to_string()))?;
            within(csr.len(), &limits::CSR_BYTES, "the certificate request")?;
            if caller.served().is_some_and(|served| !served.contains(&domain)) {
                let why = format!("it may not serve the domain `{domain}`");
                control.refuse("mint", &caller.title(), &why);
                return Err(Status::permission_denied(why));
            }
            let svid = control.parts.roles.mint_gateway(proxy, &domain, csr);
            svid.map(minted).map_err(|error| status_of(&error))
        })
        .await
    }

    type ShipStream = Pin<Box<dyn Stream<Item = Result<Received, Status>> + Send>>;

    async fn ship(&self, request: Request<Streaming<Shipped>>) -> Result<Response<Self::ShipStream>, Status> {
        let caller = self.control.caller(request.extensions(), "ship")?;
        let proxy = caller.must_be(Role::Proxy)?;
        let (_, extensions, shipped) = request.into_parts();
        let control = Arc::clone(&self.control);
        // who is retired or revoked meanwhile ships no more
        let shipped = shipped.map(move |message| control.caller(&extensions, "ship").and(message));
        crate::intake::receive(&self.control, proxy, shipped).map(Response::new)
    }
}

fn bad(why: &str) -> Status {
    Status::invalid_argument(why)
}

fn within(bytes: usize, limit: &limits::Limit, what: &str) -> Result<(), Status> {
    if bytes <= limit.default_usize() { Ok(()) } else { Err(bad(&format!("{what} is too large"))) }
}

/// Where a request comes from, for the record.
fn from<T>(request: &Request<T>) -> String {
    let address = request.extensions().get::<PeerInfo>().and_then(|info| info.address);
    address.map_or_else(|| "from this process".to_owned(), |address| format!("from {}", address.ip()))
}

fn selectors_of(selectors: Option<&api::wire::Selectors>) -> Result<Selectors, Status> {
    let selectors = selectors.ok_or_else(|| bad("it names no process"))?;
    content::read_selectors(selectors).map_err(|error| bad(&error.to_string()))
}

fn id_of(text: &str) -> Result<SpiffeId, Status> {
    SpiffeId::parse(text).map_err(|error| bad(&error.to_string()))
}

fn predecessor_of(predecessor: &api::wire::Predecessor) -> Result<Predecessor, Status> {
    let api::wire::Predecessor { certificate, signature } = predecessor;
    within(certificate.len(), &limits::CERTIFICATE_BYTES, "the certificate that is to be replaced")?;
    within(signature.len(), &limits::CERTIFICATE_BYTES, "the proof of its key")?;
    Ok(Predecessor { certificate_der: certificate.clone(), signature: signature.clone() })
}
