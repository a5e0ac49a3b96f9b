#!/usr/bin/env bash
# Installs what the peers of the bench are made of: the servers as Debian packages, the libraries by npm beside the peers. To be run once on a bare machine,
# after `npm ci` and `npm run build`; run again, it installs what is missing and says so. Nothing that it installs is started. PostgreSQL comes with `npm ci`.
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A packages=([mosquitto]=mosquitto [redis-server]=redis-server)
lacking=()
# Debian has servers where a user other than root does not look.
export PATH="$PATH:/usr/sbin:/sbin"
for program in "${!packages[@]}"; do
  command -v "$program" >/dev/null || lacking+=("${packages[$program]}")
done
if [ "${#lacking[@]}" -eq 0 ]; then
  echo 'Mosquitto and Redis: there already'
elif ! command -v apt-get >/dev/null; then
  echo "to be installed by hand, this is not Debian: ${lacking[*]}" >&2
  exit 1
elif [ "$(id -u)" -ne 0 ]; then
  echo "to be run as root, because this is to be installed: ${lacking[*]}" >&2
  exit 1
else
  export DEBIAN_FRONTEND=noninteractive
  # In runlevel 1 nothing that is installed is started as a service.
  apt-get update -qq
  RUNLEVEL=1 apt-get install -qq -y --no-install-recommends "${lacking[@]}" >/dev/null
  echo "installed: ${lacking[*]}"
fi

# pg-boss asks for a newer Node than Downlink does, of which npm warns; it works with this one.
npm ci --prefix bench/peers --no-audit --no-fund --loglevel=error
echo "installed in bench/peers: $(node -p "Object.entries(require('./bench/peers/package.json').dependencies).map(entry => entry.join(' ')).join(', ')")"
mosquitto -h 2>/dev/null | head -n 1 || true
redis-server --version
