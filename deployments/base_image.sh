#!/bin/sh
# The base image for machines where no image registry answers: Debian bookworm with its own Python 3.11, from Debian's packages.
#
#   sudo deployments/base_image.sh            makes tally-base:bookworm; does nothing where it stands and is current
#   docker build --build-arg BASE_IMAGE=tally-base:bookworm .
#
# Needs root, a running Docker Engine, and debootstrap (apt-get install debootstrap). Settings, from the environment:
#   BASE_IMAGE     the name to give it (tally-base:bookworm)
#   DEBIAN_MIRROR  where the packages come from (debootstrap's own default)
set -eu

image=${BASE_IMAGE:-tally-base:bookworm}
mirror=${DEBIAN_MIRROR:-}
trusted=/etc/ssl/certs/ca-certificates.crt

say() { printf 'base_image: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

docker version --format '{{.Server.Version}}' >/dev/null 2>&1 ||
    die "expected a Docker Engine that answers 'docker version', found none. Start it, or set DOCKER_HOST, and try again."

# Current means: made by this very script, for a machine that trusts the same certificate authorities.
recipe=$(cat "$0" "$trusted" 2>/dev/null | sha256sum | cut -c1-16)
found=$(docker image inspect --format '{{index .Config.Labels "tally.base.recipe"}}' "$image" 2>/dev/null || true)
if [ "$found" = "$recipe" ]; then
    say "$image stands and is current (recipe $recipe)."
    exit 0
fi

[ "$(id -u)" = 0 ] || die "debootstrap makes a root file system and must run as root: sudo $0"
command -v debootstrap >/dev/null || die "expected debootstrap on PATH, found none: apt-get install debootstrap"

root=$(mktemp -d "${TMPDIR:-/tmp}/tally-base.XXXXXX")
trap 'rm -rf "$root"' EXIT
trap 'exit 1' INT TERM HUP

say "making $image (about two minutes)"
debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$root" ${mirror:+"$mirror"} >&2 ||
    die "debootstrap failed; its last lines above say why. Is the mirror reachable? Set DEBIAN_MIRROR to one that is."

# A machine behind its own certificate authority has containers that need it too.
[ ! -r "$trusted" ] || cp "$trusted" "$root$trusted"

# What a container never reads: package lists and archives, manuals, translations, logs. Copyright files stay: licences ask for them.
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/* "$root"/var/log/* "$root"/usr/share/man/* "$root"/usr/share/info/* \
    "$root"/usr/share/locale/* "$root"/usr/share/lintian "$root"/debootstrap
find "$root/usr/share/doc" ! -type d ! -name copyright -delete
find "$root/usr/share/doc" -type d -empty -delete
# apt wants its two cache folders to exist.
mkdir -p "$root/var/cache/apt/archives/partial" "$root/var/lib/apt/lists/partial"
# debootstrap copies this machine's; Docker writes them for each container.
: >"$root/etc/resolv.conf"
: >"$root/etc/hostname"

tar -C "$root" -c . | docker import \
    --change "LABEL tally.base.recipe=$recipe" \
    --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8' \
    --change 'CMD ["python3"]' \
    - "$image" >/dev/null
say "$image stands ($(docker image inspect --format '{{.Size}}' "$image" | awk '{ printf "%.0f MB", $1 / 1e6 }'))."
