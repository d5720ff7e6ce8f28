#!/usr/bin/env bash
# Shows that an installation works: runs the demo benchmarks, models in pods, and prints the reports' paths.
#
#   deploy/smoke.sh                      # namespace ab-assets
#   NAMESPACE=lab deploy/smoke.sh
#
# Environment: NAMESPACE, KUBECTL (the command, default kubectl), WAIT (for the code server, default 300s). It changes
# nothing in the cluster but the demo benchmarks of the home, and needs no rights beyond reading the namespace and exec.
# Exit codes: 0 it works, 1 the demo failed, 2 the installation is not complete.
set -euo pipefail

NAMESPACE=${NAMESPACE:-ab-assets}
KUBECTL=${KUBECTL:-kubectl}
WAIT=${WAIT:-300s}
CODE_SERVER=component=user-deployments,deployment=ab-assets
WORKERS=app.kubernetes.io/name=ab-assets,app.kubernetes.io/component=worker
NOBODYS_ADDRESS=192.0.2.1/32

k() { "$KUBECTL" --namespace "$NAMESPACE" "$@"; }

missing() {
  printf 'smoke: %s\n       %s\n' "$1" "$2" >&2
  exit 2
}

command -v "$KUBECTL" >/dev/null || missing "there is no $KUBECTL" "Install kubectl, or say another: KUBECTL=..."
"$KUBECTL" version >/dev/null 2>&1 || missing "the cluster does not answer" "Check KUBECONFIG and: $KUBECTL cluster-info"
k get namespace "$NAMESPACE" >/dev/null 2>&1 ||
  missing "there is no namespace $NAMESPACE" "kubectl apply -k deploy/kubernetes, or say another: NAMESPACE=..."

for object in configmap/ab-assets-kubernetes serviceaccount/ab-assets-run serviceaccount/ab-assets-worker \
  secret/ab-assets-postgresql; do
  k get "$object" >/dev/null 2>&1 || missing "there is no $object in $NAMESPACE" "docs/kubernetes.md, Install, makes it."
done

claim=$(k get persistentvolumeclaim ab-assets-home -o 'jsonpath={.status.phase}' 2>/dev/null || true)
[ "$claim" = Bound ] ||
  missing "the home ab-assets-home is not bound (${claim:-no such claim})" "kubectl -n $NAMESPACE describe pvc ab-assets-home"

blocks=$(k get networkpolicy api-server -o 'jsonpath={.spec.egress[*].to[*].ipBlock.cidr}' 2>/dev/null || true)
case " $blocks " in
*" $NOBODYS_ADDRESS "*)
  missing "the network policy api-server still names $NOBODYS_ADDRESS, so no run reaches the API server" \
    "Write its addresses into deploy/kubernetes/base/api-server.yaml and apply it again."
  ;;
esac

deployment=$(k get deployment -l "$CODE_SERVER" -o name)
[ -n "$deployment" ] ||
  missing "there is no code server in $NAMESPACE" "helm upgrade --install dagster ... -f deploy/helm/values.yaml"
[ "$(printf '%s\n' "$deployment" | wc -l)" -eq 1 ] || missing "there are several code servers:" "$deployment"
k rollout status "$deployment" --timeout="$WAIT" ||
  missing "the code server does not start" "kubectl -n $NAMESPACE describe pods -l $CODE_SERVER"

inside() { k exec "$deployment" -- "$@"; }

compute=$(inside printenv AB_ASSETS_COMPUTE || true)
[ "$compute" = kubernetes ] ||
  missing "AB_ASSETS_COMPUTE is '${compute}' in the code server" "It has to be kubernetes: deploy/helm/values.yaml sets it."
# shellcheck disable=SC2016 # the variable is the pod's
inside sh -c 'touch "$AB_ASSETS_HOME/.smoke" && rm "$AB_ASSETS_HOME/.smoke"' ||
  missing "the home cannot be written" "Its folder has to belong to user and group 10001: docs/kubernetes.md, The home."

# The Jobs of models are deleted when they are done, so they are watched.
seen=$(mktemp)
"$KUBECTL" --namespace "$NAMESPACE" get jobs -l "$WORKERS" --watch -o name >"$seen" 2>/dev/null &
watcher=$!
finish() {
  kill "$watcher" 2>/dev/null || true
  rm -f "$seen"
}
trap finish EXIT

printf 'smoke: the demo benchmarks, models in pods of %s\n' "$NAMESPACE"
if ! inside ab-assets demo; then
  printf 'smoke: the demo failed; its pods are listed below, causes stand in docs/kubernetes.md\n' >&2
  k get pods -l "$WORKERS" >&2 || true
  exit 1
fi

jobs=$(grep -o 'job[^ ]*/[^ ]*' "$seen" | sort -u || true)
if [ -n "$jobs" ]; then
  printf 'smoke: these Jobs ran models:\n%s\n' "$jobs"
else
  printf 'smoke: no Job was needed: every result was there already\n'
fi
printf 'smoke: reports, on the home:\n'
for name in demo-specificity demo-paratope; do
  inside ab-assets report "$name"
done
