#!/usr/bin/env bash
# Asks a running control everything that docs/openapi.json describes and much that it does not, over its TLS listener as an
# operator with every role: malformed JSON, wrong types, odd parameters, huge numbers. Never a 500, never an answer that the
# document does not know, and control is well afterwards.
#
#   tests/api/schemathesis.sh COUNTERSIGN SCHEMATHESIS [EXAMPLES]
#
# COUNTERSIGN is the binary under test, SCHEMATHESIS the command of that name (PyPI, 4.x), EXAMPLES how many cases a
# question gets at most (default 50). SEED=N repeats a run.
set -euo pipefail
countersign=$(realpath "$1")
schemathesis=$(realpath "$2")
examples=${3:-50}
root=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
work=$(mktemp -d)
control=
end() {
  [ -z "$control" ] || kill "$control" 2>/dev/null || true
  [ -z "$control" ] || wait "$control" 2>/dev/null || true
  rm -rf "$work"
}
trap end EXIT

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
wire=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cp -r "$root/examples/acme" "$work/site"
rm -f "$work/site/node.yaml"
sed -i 's/^operators:$/&\n  tester: { roles: [viewer, operator, owner, security] }\n  alice: { roles: [viewer] }/' \
  "$work/site/countersign.yaml"
cat >>"$work/site/admin.cedar" <<'CEDAR'
@id("the-tester-asks-everything")
@reason("A test asks every question there is.")
permit (principal == Operator::"tester", action in [Action::"certify", Action::"impersonate"], resource);
CEDAR
cat >"$work/node.yaml" <<YAML
name: tested
data: $work/data
listeners: [{ name: wire, kind: wire, address: "127.0.0.1:$wire" }]
admin: { address: "127.0.0.1:$port", tls: true, names: [localhost] }
decision_log: { max_size: 1GiB }
YAML

"$countersign" control -c "$work/node.yaml" "$work/site" >"$work/control.log" 2>&1 &
control=$!
for _ in $(seq 100); do
  [ -S "$work/data/admin.sock" ] && break
  kill -0 "$control" 2>/dev/null || { cat "$work/control.log" >&2; exit 1; }
  sleep 0.1
done
"$countersign" operator certificate tester --out "$work/tester.pem" --data "$work/data"

# what follows the log never ends, and is tested elsewhere
python3 - "$root/docs/openapi.json" "$work/openapi.json" <<'PYTHON'
import json, sys
document = json.load(open(sys.argv[1]))
parameters = document["paths"]["/v1/decisions"]["get"]["parameters"]
document["paths"]["/v1/decisions"]["get"]["parameters"] = [one for one in parameters if one["name"] != "follow"]
json.dump(document, open(sys.argv[2], "w"))
PYTHON

# positive_data_acceptance: that a string which fits the schema names a workload, a revision or a time of at most a day is
# more than a schema can say. missing_required_header and ignored_auth know headers only; who may ask what is walked over in
# crates/control/src/http/tests.
cd "$work"
"$schemathesis" run "$work/openapi.json" --url "https://localhost:$port" --tls-verify "$work/tester.pem" \
  --request-cert "$work/tester.pem" --request-timeout 20 --max-examples "$examples" ${SEED:+--seed "$SEED"} \
  --checks all --exclude-checks positive_data_acceptance,missing_required_header,ignored_auth,object_level_authorization \
  --phases examples,coverage,fuzzing --continue-on-failure

health=$(curl --silent --fail --unix-socket "$work/data/admin.sock" http://localhost/v1/health)
echo "control afterwards: $health"
[ "$(python3 -c 'import json, sys; print(json.load(sys.stdin)["ready"])' <<<"$health")" = True ]
if grep -i "panicked" "$work/control.log"; then exit 1; fi
