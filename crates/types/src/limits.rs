//! The registry of limits: everything an outsider can grow, with its default and the source of the number (STYLE 22).
//! `docs/limits.md` is generated from [`ALL`]; `cargo xtask tidy` compares them.

/// What a limit counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Things.
    Count,
    /// Milliseconds.
    Millis,
}

/// One limit.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// The name in documents, metrics and messages.
    pub name: &'static str,
    /// The value used where nothing else is configured.
    pub default: u64,
    /// What it counts.
    pub unit: Unit,
    /// What is limited.
    pub what: &'static str,
    /// Where the number comes from.
    pub source: &'static str,
}

impl Limit {
    /// The default as a size of something in memory.
    pub const fn default_usize(&self) -> usize {
        const { assert!(usize::BITS >= 64, "Countersign is built for 64-bit machines") };
        self.default as usize
    }
}

macro_rules! limits {
    ($( $name:ident $text:literal $default:literal $unit:ident $what:literal $source:literal; )*) => {
        $( #[doc = $what] pub const $name: Limit =
            Limit { name: $text, default: $default, unit: Unit::$unit, what: $what, source: $source }; )*
        /// Every limit.
        pub const ALL: &[Limit] = &[ $( $name, )* ];
    };
}

limits! {
    TRUST_DOMAIN_BYTES "trust_domain_bytes" 255 Bytes "the name of a trust domain" "SPIFFE-ID 2.3";
    SPIFFE_ID_BYTES "spiffe_id_bytes" 2048 Bytes "a SPIFFE ID" "SPIFFE-ID 2.3";
    LABEL_BYTES "label_bytes" 63 Bytes "the name of a domain, service or workload" "RFC 1035 2.3.4, so that names fit DNS labels";
    HOST_BYTES "host_bytes" 253 Bytes "a host name" "RFC 1035 2.3.4";
    TEMPLATE_BYTES "template_bytes" 1024 Bytes "a path template" "longer than any published API description we know";
    CHAIN_CERTIFICATES "chain_certificates" 8 Count "certificates in a peer's chain" "a leaf and at most six intermediates under a root, with room";
    CERTIFICATE_BYTES "certificate_bytes" 16384 Bytes "one certificate of a peer" "16 times a usual SVID";
    CHAIN_SIGNATURES "chain_signatures" 16 Count "signature checks spent on one peer's chain" "twice the certificates of the longest chain";
    BUNDLE_BYTES "bundle_bytes" 1048576 Bytes "one trust domain's bundle document" "64 roots of 16 KiB in base64, and room for other keys";
    BUNDLE_ROOTS "bundle_roots" 64 Count "roots of one trust domain" "a rotation holds two or three; federated domains with many clusters a dozen";
    BUNDLE_JWT_KEYS "bundle_jwt_keys" 64 Count "keys of one trust domain that sign JWT-SVIDs" "as `bundle_roots`";
    BUNDLE_HINT_TIME "bundle_hint_time" 300000 Millis "between two fetches of a bundle that gives no hint" "SPIFFE bundle 6.1: a low interval such as five minutes";
    BUNDLE_HINT_LEAST_TIME "bundle_hint_least_time" 10000 Millis "the shortest time between two fetches that a bundle may ask for" "a revocation should not wait; a foreign server is not to be flooded";
    BUNDLE_HINT_MOST_TIME "bundle_hint_most_time" 86400000 Millis "the longest time between two fetches that a bundle may ask for" "a day: longer, and nobody hears of a revocation";
    FEDERATED_DOMAINS "federated_domains" 256 Count "trust domains of others that an organisation accepts" "a partner or a cluster each; each is fetched on its own";
    FEDERATION_URL_BYTES "federation_url_bytes" 2048 Bytes "the URL of a bundle endpoint" "a quarter of what RFC 9110 4.1 recommends servers to take";
    BUNDLE_MAP_BYTES "bundle_map_bytes" 4194304 Bytes "a map of bundles by trust domain" "four of the largest bundles, or a thousand usual ones";
    FEDERATION_FETCH_TIME "federation_fetch_time" 30000 Millis "fetching one bundle, from the first packet to the last" "a mebibyte over a slow line; the next attempt is minutes away";
    FEDERATION_FETCHES "federation_fetches" 8 Count "bundles fetched at the same time" "with `bundle_bytes` each they take 8 MiB; all of `federated_domains` are done within their interval";
    FEDERATION_ADDRESSES "federation_addresses" 8 Count "addresses of a bundle endpoint's name that are tried" "both protocols and a few machines; all within `federation_fetch_time`";
    BUNDLE_CONNECTIONS "bundle_connections" 256 Count "connections to our bundle endpoint" "as `federated_domains`: partners that fetch at the same moment";
    KEY_ID_BYTES "key_id_bytes" 256 Bytes "the id of a key in a set" "four times a SHA-256 in hexadecimal";
    JWT_BYTES "jwt_bytes" 16384 Bytes "a token, whatever kind" "ten times a usual token with many groups; half of `head_bytes`";
    JWT_LEEWAY_TIME "jwt_leeway_time" 60000 Millis "by how much clocks may differ when the time in a token is judged" "JWT-SVID 3.3 allows a small leeway; machines that keep time differ by less than a second";
    JWT_SIGNATURES "jwt_signatures" 16 Count "keys tried for a token that names none" "as `chain_signatures`";
    PREDECESSORS "predecessors" 8 Count "earlier certificates that a renewed one names" "four hours of certificates that live one hour; about 110 bytes each in every handshake";
    HEAD_BYTES "head_bytes" 32768 Bytes "a request's start line and header fields together" "the default of common servers is 8 to 64 KiB";
    HEADER_COUNT "header_count" 100 Count "header fields of a request" "the default of common servers is 100";
    PATH_BYTES "path_bytes" 4096 Bytes "the path of a request target" "RFC 9110 4.1 recommends at least 8,000 for the whole target";
    PATH_SEGMENTS "path_segments" 64 Count "segments of a path or template" "four times the deepest published API description we know";
    QUERY_BYTES "query_bytes" 16384 Bytes "the query of a request target" "twice what RFC 9110 4.1 recommends for the whole target";
    CHUNK_LINE_BYTES "chunk_line_bytes" 256 Bytes "a chunk's size line with its extensions" "RFC 9112 7.1.1 asks for a bound on extensions";
    TRAILER_BYTES "trailer_bytes" 4096 Bytes "the trailer section of a request" "trailers are read and dropped";
    BODY_BYTES "body_bytes" 1048576 Bytes "a request body where the service says nothing" "DESIGN section 4, the example's `body: 1MiB`";
    BLANK_LINES "blank_lines" 4 Count "empty lines before a request line" "RFC 9112 2.2 asks for at least one";
    READ_AHEAD_BYTES "read_ahead_bytes" 16384 Bytes "bytes of later requests that are read while one is answered" "one TLS record";
    UNREAD_BODY_BYTES "unread_body_bytes" 65536 Bytes "the rest of a request body that is thrown away to keep the connection" "a new connection costs as much as 64 KiB";
    UNREAD_BODY_TIME "unread_body_time" 500 Millis "throwing away the rest of a request body" "a few round trips of a slow continent";
    LINGER_BYTES "linger_bytes" 1048576 Bytes "bytes thrown away after the last answer of a connection" "a body of the default size, already on its way";
    LINGER_TIME "linger_time" 1000 Millis "waiting for the caller to close after the last answer" "RFC 9112 9.6: a reset must not destroy the answer";
    HEAD_TIME "head_time" 10000 Millis "receiving a request's head" "slow-header attacks send a byte every few seconds";
    HANDSHAKE_TIME "handshake_time" 5000 Millis "a TLS handshake" "ten round trips of a slow continent";
    KEEP_ALIVE_TIME "keep_alive_time" 60000 Millis "an idle connection between requests" "the default of common servers is 60 to 75 seconds";
    FIRST_BYTE_TIME "first_byte_time" 15000 Millis "waiting for the upstream's response head" "DESIGN section 4";
    IDLE_TIME "idle_time" 300000 Millis "silence in the middle of a body, either way" "DESIGN section 4";
    CONNECT_TIME "connect_time" 2000 Millis "opening a connection to an upstream" "upstreams are near";
    CONNECTIONS "connections" 10000 Count "open connections of one gateway listener" "about 30 KB each";
    HANDSHAKES "handshakes" 256 Count "TLS handshakes in flight at once per worker" "a handshake costs about 1 ms of one core";
    H2_STREAMS "h2_streams" 100 Count "open streams of one HTTP/2 connection" "RFC 9113 6.5.2 recommends no less than 100";
    H2_RESETS "h2_resets" 20 Count "streams reset by the peer and not yet reaped" "CVE-2023-44487; the HTTP/2 library's default";
    ACCEPT_PAUSE_TIME "accept_pause_time" 50 Millis "the pause after the system gave no connection" "long enough for a descriptor to become free";
    UPSTREAM_IDLE "upstream_idle" 64 Count "idle connections kept per worker and upstream" "one per concurrent request of a busy worker";
    UPSTREAM_IDLE_TIME "upstream_idle_time" 30000 Millis "keeping an idle connection to an upstream" "below the idle time-out of common servers, so that they seldom close first";
    PRE_IDENTITY_RECORDS "pre_identity_records" 64 Count "single records per second and worker of refusals before identity; the rest is counted" "a handshake flood must not fill the log";
    PRE_IDENTITY_SOURCES "pre_identity_sources" 256 Count "sources and reasons told apart in what is only counted" "a flood from everywhere must not fill memory; beyond it the source is left open";
    CLIENT_HELLO_TIME "client_hello_time" 1500 Millis "the first bytes of a TLS handshake" "a client that connects has its first message ready; silence only holds a place";
    RESPONSE_HEAD_BYTES "response_head_bytes" 65536 Bytes "the head of an upstream's response" "twice what a request may have";
    NOTE_BYTES "note_bytes" 512 Bytes "the operator's note in a record" "a sentence or two";
    SEGMENT_BYTES "segment_bytes" 16777216 Bytes "one segment of the decision log" "about 53,000 decisions; preallocated for each lane";
    RECORD_BYTES "record_bytes" 8192 Bytes "one record of the decision log" "16 times a usual record";
    LOG_LOCK_PAUSE_TIME "log_lock_pause_time" 5 Millis "between attempts to lock the decision log's directory" "a reader that looks holds the lock for microseconds";
    SEGMENT_RETRY_TIME "segment_retry_time" 100 Millis "between attempts to prepare a segment of the decision log" "room on a disk appears within seconds";
    LOG_BYTES "log_bytes" 4294967296 Bytes "the decision log of one enforcer" "DESIGN section 4, the example's `max_size: 4GiB`";
    INTAKE_BYTES "intake_bytes" 17179869184 Bytes "the decision logs of others that control keeps, together" "four proxies with logs of the default size";
    FILE_BYTES "file_bytes" 4194304 Bytes "one file of a trust directory" "the largest published API description we know is about 3 MB";
    DIRECTORY_FILES "directory_files" 10000 Count "files of a trust directory" "5,000 services with an API description and tests each";
    YAML_DEPTH "yaml_depth" 64 Count "nesting of a YAML or JSON file" "four times the deepest published API description we know";
    YAML_NODES "yaml_nodes" 500000 Count "values of a YAML or JSON file" "five times the largest published API description we know";
    DIRECTORY_BYTES "directory_bytes" 268435456 Bytes "all files of a trust directory together" "5,000 services with 50 KiB each";
    SERVICE_ROUTES "service_routes" 2000 Count "routes of a service" "twice the largest published API description we know";
    CEDAR_DEPTH "cedar_depth" 64 Count "nesting of brackets in a Cedar file" "as `yaml_depth`; written policies stay below ten";
    CEDAR_OPERATORS "cedar_operators" 1000 Count "operators of one policy" "some 300 comparisons; with `cedar_depth` it bounds the parser's recursion to a third of its stack";
    DETERMINING_POLICIES "determining_policies" 32 Count "determining policies named in one record; the note counts the rest" "a policy's id takes at most 127 bytes, so that they fit half of `record_bytes`";
    REJUDGED_AT_ONCE "rejudged_at_once" 32 Count "open exchanges that a worker judges again before others get their turn" "a judgement takes some 20 µs: less than a millisecond";
    NOTED_REFUSALS "noted_refusals" 8 Count "noted refusals named in one record; the note counts the rest" "a call meets five kinds of checks; with `determining_policies` they fit `record_bytes`";
    PROBLEMS "problems" 200 Count "problems listed by one check" "more is not read";
    WORKLOAD_BINARY_BYTES "workload_binary_bytes" 536870912 Bytes "a workload's executable that is hashed for attestation" "the largest single-file service binaries are about 300 MB";
    WORKLOAD_STREAMS "workload_streams" 64 Count "open Workload API streams of one process" "WA-7: rate-limit per caller after attestation";
    RENEWAL_RETRY_TIME "renewal_retry_time" 5000 Millis "between attempts to renew a credential that could not be renewed" "hundreds of attempts in the second half of an hour";
    DRAIN_TIME "drain_time" 5000 Millis "finishing what is in flight at a stop" "DESIGN section 5; longer exchanges are cut";
    PORTS_TRIED "ports_tried" 100 Count "ports tried after a busy one" "enough for many installations on one machine";
    WORKLOAD_CONNECTIONS "workload_connections" 1024 Count "open connections of the Workload API socket" "one per process of a large machine";
    WORKLOAD_CALLS "workload_calls" 200 Count "attestations per second for one user id" "a machine with 200 workloads of one user starts within a second";
    WORKLOAD_IDENTITIES "workload_identities" 1024 Count "SVIDs that an agent keeps" "one per executable and identity of a large machine";
    WORKLOAD_USER_IDENTITIES "workload_user_identities" 768 Count "SVIDs that an agent keeps for one user id" "three quarters of `workload_identities`: nobody takes the room of the others";
    WORKLOAD_DIGESTS "workload_digests" 1024 Count "remembered digests of executables" "one per executable of a large machine";
    WORKLOAD_USER_CONNECTIONS "workload_user_connections" 768 Count "open connections of the Workload API socket of one user id" "three quarters of `workload_connections`: nobody shuts the others out";
    WORKLOAD_USER_STREAMS "workload_user_streams" 1024 Count "open calls and streams of the Workload API of one user id" "two for each of 512 processes";
    WORKLOAD_ALL_STREAMS "workload_all_streams" 4096 Count "open calls and streams of the Workload API" "four for each of `workload_connections`";
    WORKLOAD_HINT_BYTES "workload_hint_bytes" 1024 Bytes "the hint at what an identity is for" "Workload API 5.2.1";
    WORKLOAD_TOKENS "workload_tokens" 1024 Count "JWT-SVIDs that an agent keeps" "as `workload_identities`";
    WORKLOAD_USER_TOKENS "workload_user_tokens" 768 Count "JWT-SVIDs that an agent keeps for one user id" "as `workload_user_identities`";
    WORKLOAD_PROGRAM_TOKENS "workload_program_tokens" 64 Count "JWT-SVIDs that an agent keeps for one program" "one for each service that a program calls";
    ATTESTATION_TIME "attestation_time" 10000 Millis "finding out what one process is" "hashing `workload_binary_bytes` from a slow disk";
    PROC_BYTES "proc_bytes" 1048576 Bytes "a file under /proc that tells what a process is" "65,536 supplementary groups, as many as Linux allows";
    PROJECTED_TOKEN_BYTES "projected_token_bytes" 16384 Bytes "a projected Kubernetes token" "eight times a usual one";
    ISSUANCE_REFUSALS "issuance_refusals" 4 Count "single records per second of refused issuance; the rest is counted" "a local process that asks in a loop must not fill the log";
    ISSUANCE_NODE "issuance_node" 6000 Count "certificates in a minute that one node may ask for, refused ones included" "a machine with 1,024 identities makes all of them anew five times";
    ISSUANCE_WORKLOAD "issuance_workload" 600 Count "certificates in a minute for one workload on one node" "one process renews twice an hour; hundreds of instances of one workload start together";
    JWT_NODE "jwt_node" 60000 Count "JWT-SVIDs in a minute that one node may ask for, refused ones included" "1,000 a second take some percent of one core";
    JWT_WORKLOAD "jwt_workload" 6000 Count "JWT-SVIDs in a minute for one workload on one node" "one token for each of 100 calls a second, of a workload that keeps none";
    ISSUANCE_NODES "issuance_nodes" 8192 Count "nodes that the issuer counts apart; more wait for one that was idle for a minute" "twice `wire_connections`";
    ISSUANCE_NODE_WORKLOADS "issuance_node_workloads" 4096 Count "workloads of one node that the issuer counts apart" "four times `workload_identities`";
    ISSUANCE_REFUSALS_TOGETHER "issuance_refusals_together" 64 Count "single records per second of refused issuance of all nodes together; the rest is counted" "`issuance_refusals` of sixteen nodes";
    BOUND_TOKEN_TIME "bound_token_time" 3600000 Millis "for how long after a renewal a token that is bound to the certificate before it counts" "access tokens live an hour at most, as a rule (RFC 9700 2.2 wants them short)";
    JWT_AUDIENCES "jwt_audiences" 8 Count "audiences of one JWT-SVID" "one is usual (JWT-SVID 7.2); with `jwt_audience_bytes` they fit `jwt_bytes`";
    JWT_AUDIENCE_BYTES "jwt_audience_bytes" 1024 Bytes "one audience of a JWT-SVID" "a URL or a SPIFFE ID; longer ones do not fit into header fields";
    KEY_SUCCESSIONS "key_successions" 16 Count "roots of one domain whose successors the issuer vouches for" "a rotation each quarter for four years";
    CSR_BYTES "csr_bytes" 16384 Bytes "a certificate request" "16 times a usual request";
    LISTED_DECISIONS "listed_decisions" 10000 Count "decisions of a listing that are held at once, for the latest or until each has its end" "about 10 MB";
    CALL_RESPONSE_BYTES "call_response_bytes" 67108864 Bytes "a response that `call` reads, and an answer of the admin socket" "it is held in memory and shown on a terminal";
    FOLDER_DEPTH "folder_depth" 16 Count "folders inside folders of a trust directory" "five times as many as one has";
    WHY_POLICIES "why_policies" 256 Count "permits that are compared clause by clause to explain one refusal" "a service seldom has more permits than routes";
    WHY_CLAUSES "why_clauses" 64 Count "clauses of one policy that an explanation shows" "written policies stay below twenty";
    ADMIN_CONNECTIONS "admin_connections" 256 Count "open connections of the console" "some browsers of six connections each, probes and collectors";
    ADMIN_BODY_BYTES "admin_body_bytes" 1048576 Bytes "a request body of the admin socket" "the largest is a certificate request";
    STORE_WAIT_TIME "store_wait_time" 2000 Millis "waiting for another process that holds the store" "a backup or a look with another program takes less";
    COUNTED_TIME "counted_time" 2678400000 Millis "how long counts and minutes are kept" "31 days: a month of traffic before a check is enforced";
    MINUTES_TIME "minutes_time" 86400000 Millis "the longest time that minutes are asked for" "a day is 1,440 points, as many as a screen shows";
    FOLD_RECORDS "fold_records" 8192 Count "records that are counted in one transaction" "a fraction of a second of a busy gateway; a revocation waits for no more";
    FOLD_LAG_TIME "fold_lag_time" 15000 Millis "how far counting may be behind before it is told" "counting runs each second";
    PLAINTEXT_CALLERS "plaintext_callers" 4096 Count "sources of plaintext calls that are told apart" "more is a flood and not a list of callers to move";
    LOGIN_LINK_TIME "login_link_time" 600000 Millis "the life of a login link" "DESIGN section 10: 10 minutes";
    SESSION_TIME "session_time" 43200000 Millis "the life of a session of the console" "a working day";
    REVOCATION_TIME "revocation_time" 31622400000 Millis "the longest time for which a revocation is made; longer is for good" "a leap year; nobody remembers longer";
    REASON_BYTES "reason_bytes" 512 Bytes "an operator's words: why a publication, a revocation or a restore" "as `note_bytes`; it stands in the record";
    PUBLISH_BODY_BYTES "publish_body_bytes" 805306368 Bytes "the request of a publication on the admin socket" "`directory_bytes` three times: JSON escapes text";
    CHANGES "changes" 100 Count "sentences that say what a publication changes; the last one counts the rest" "more is not read; the files tell all";
    TOLD_PROBLEMS "told_problems" 5 Count "problems that the answer to a publication names" "`check` shows all of them";
    PROBE_TIME "probe_time" 500 Millis "an attempt of `doctor` to reach an upstream" "upstreams are near";
    PROBES "probes" 256 Count "upstreams that `doctor` tries to reach" "tried side by side; more is told as not tried";
    PROPOSALS "proposals" 64 Count "publications that wait for approval" "each keeps a trust directory; a team that has more does not look at them";
    ADMIN_REFUSALS "admin_refusals" 4 Count "single records per second of acts that nobody known asked for; the rest is counted" "as `issuance_refusals`: a stranger must not fill the log";
    STREAM_CHECK_TIME "stream_check_time" 1000 Millis "between two looks at whether somebody who follows the log still may" "as fast as a revocation is told to be in force";
    OPERATOR_CERTIFICATE_TIME "operator_certificate_time" 43200000 Millis "the life of an operator's certificate where nobody says how long" "a working day, as `session_time`";
    OPERATOR_CERTIFICATE_MOST_TIME "operator_certificate_most_time" 86400000 Millis "the longest life of an operator's certificate" "a shift with its handover; a machine renews";
    PUBLICATIONS_LISTED "publications_listed" 1000 Count "publications of one listing" "years of them";
    WIRE_CONNECTIONS "wire_connections" 4096 Count "open connections of a wire listener" "four times the 1,000 proxies that one control is measured with";
    WIRE_STRANGERS "wire_strangers" 64 Count "open connections of a wire listener without a certificate" "joining takes a second; a rack of machines may join at once";
    WIRE_STRANGER_TIME "wire_stranger_time" 20000 Millis "the life of a wire connection without a certificate" "joining takes one or two calls";
    WIRE_STREAMS "wire_streams" 64 Count "open streams of one wire connection" "state, log and issuance of one peer";
    WIRE_MESSAGE_BYTES "wire_message_bytes" 67108864 Bytes "one message of the wire" "100,000 revocations with long reasons, or a manifest of `directory_files` with long paths";
    WIRE_REPORT_BYTES "wire_report_bytes" 1048576 Bytes "one report of a peer, unless control asked to see what it holds" "the names of `wire_wants` files, or `held_svids` with usual names; control itself allocates no more for somebody who lies about a length";
    WIRE_PIECE_BYTES "wire_piece_bytes" 65536 Bytes "one piece of a file or of a log segment on the wire" "small enough that a signal does not wait behind it";
    WIRE_PING_TIME "wire_ping_time" 2000 Millis "between pings of a wire connection" "a connection that was cut is noticed within seconds, with `wire_silence_time`";
    WIRE_SILENCE_TIME "wire_silence_time" 5000 Millis "silence of a wire stream that should carry a heartbeat each second, and of a ping" "five heartbeats";
    WIRE_RETRY_TIME "wire_retry_time" 5000 Millis "the longest pause between attempts to reach control" "a control that was restarted is found again within seconds; pauses start at 100 ms";
    WIRE_REFUSED_TIME "wire_refused_time" 30000 Millis "the pause after control said that coming again makes no sense" "an operator may change it; nobody else can";
    WIRE_CALL_TIME "wire_call_time" 10000 Millis "waiting for the answer to one call of the wire" "an answer takes milliseconds and, behind a publication, seconds";
    WIRE_WANTS "wire_wants" 10000 Count "files that a peer asks for at once" "as `directory_files`";
    SIGNALS "signals" 100000 Count "revocations that a peer takes" "with `reason_bytes` each they fit `wire_message_bytes`";
    TRUST_DOMAINS "trust_domains" 4096 Count "trust domains whose roots a peer takes" "a domain is a segment of a business; most have a dozen";
    PINNED_DOMAINS "pinned_domains" 8192 Count "trust domains whose roots a peer remembers" "twice `trust_domains`: those that are gone may come back, with the roots that they had";
    BUNDLE_SUCCESSIONS "bundle_successions" 64 Count "statements of one trust domain about which root follows which" "as `bundle_roots`; the issuer keeps sixteen";
    HELD_SVIDS "held_svids" 4096 Count "SVIDs that an agent names to control as handed out; the rest is counted" "four times `workload_identities`: those that were renewed live on for a while";
    SELECTOR_GROUPS "selector_groups" 4096 Count "supplementary groups of a process that an agent names" "a sixteenth of what Linux allows, and more than any process that we know has";
    REGISTERED_RULES "registered_rules" 100000 Count "attestation rules that an agent takes" "5,000 workloads with 20 rules each";
    TOKEN_FILE_BYTES "token_file_bytes" 4096 Bytes "the file with a join token" "a token has 64 characters";
    SHIP_WINDOW_BYTES "ship_window_bytes" 4194304 Bytes "bytes of a decision log that are on their way to control and not acknowledged" "a tenth of a second of a fast network; a lost connection sends no more again";
    SHIP_SEGMENTS "ship_segments" 1000 Count "segments named in one message of the log's stream" "some 60 KB";
    SHIP_ANSWER_TIME "ship_answer_time" 30000 Millis "waiting for control to acknowledge bytes of a decision log" "a disk that takes longer is as good as gone";
    SHIP_FULL_TIME "ship_full_time" 5000 Millis "the pause after control said that it takes no more of a decision log" "room is made by people";
    INTAKE_BATCH_BYTES "intake_batch_bytes" 1048576 Bytes "bytes of one enforcer's log that are brought to the disk at once" "sixteen pieces for one wait on the disk";
    INTAKE_WRITES "intake_writes" 8 Count "enforcers whose logs are written at the same time" "a disk is not faster for more; with `intake_batch_bytes` it bounds what waits in memory";
    INTAKE_NAMED "intake_named" 131072 Count "segments that a peer may say it has" "a log of 4 GiB in the smallest segments, twice";
    LOG_GAPS "log_gaps" 64 Count "gaps of one enforcer's log that are told apart" "more is a log that was broken as a whole";
    REACH_TIME "reach_time" 1000 Millis "waiting for connected enforcers to confirm a publication or a revocation before it is answered" "they confirm within milliseconds; nobody waits longer for one that is slow";
    REACH_NAMED "reach_named" 20 Count "enforcers named in an answer as not having a change yet; the last line counts the rest" "more is not read; `fleet` tells all";
    JOIN_TOKEN_TIME "join_token_time" 3600000 Millis "the life of a join token where nothing else is asked" "a machine is set up within the hour";
    JOIN_TOKEN_LONGEST "join_token_longest" 604800000 Millis "the longest life of a join token" "a week, for machines that are delivered";
    REJOIN_NONCES "rejoin_nonces" 256 Count "numbers given to peers that want to come back and not yet used" "four for each of `wire_strangers`";
    REJOIN_NONCE_TIME "rejoin_nonce_time" 20000 Millis "the life of a number given to a peer that wants to come back" "as `wire_stranger_time`";
    ROTATION_DEAD_TIME "rotation_dead_time" 86400000 Millis "without a word of a peer before a rotation of keys goes on without it" "no identity that it holds is good for longer: the longest life of an SVID";
    ROTATION_SETTLE_TIME "rotation_settle_time" 5000 Millis "between the last confirmation of a new key and its first signature" "workloads take a bundle from their agent within a second; a process that just started hears of everybody";
    ROTATION_HINTS "rotation_hints" 3 Count "refresh hints of our bundle endpoint that pass before a new key signs" "whoever fetches the bundle may miss it twice";
    BUDGET_LINES "budget_lines" 12 Count "identities that the outage budget names, the first that fail" "a screen; `identity list` tells all";
    WIRE_CALL_BYTES "wire_call_bytes" 131072 Bytes "the question of one call of the wire, which a stranger may send" "a request of `csr_bytes` with its selectors or token, and a piece of `wire_piece_bytes`";
}
