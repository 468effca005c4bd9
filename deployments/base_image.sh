#!/bin/sh
# Make a base image for machines without access to an image registry: Debian bookworm with Python 3.11, made from
# Debian's packages.
#
#   sudo deployments/base_image.sh            makes tally-base:bookworm, unless it exists and is up to date
#   docker build --build-arg BASE_IMAGE=tally-base:bookworm .
#
# Requires root, a running Docker Engine, and debootstrap (apt-get install debootstrap). Environment variables:
#   BASE_IMAGE     name of the image (default: tally-base:bookworm)
#   DEBIAN_MIRROR  URL of the Debian mirror (default: debootstrap's own)
set -eu

image=${BASE_IMAGE:-tally-base:bookworm}
mirror=${DEBIAN_MIRROR:-}
trusted=/etc/ssl/certs/ca-certificates.crt

say() { printf 'base_image: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

docker version --format '{{.Server.Version}}' >/dev/null 2>&1 ||
    die "expected a Docker Engine that responds to 'docker version', found none: start Docker, or set DOCKER_HOST."

# The image is up to date if the same version of this script made it with the same trusted certificates.
recipe=$(cat "$0" "$trusted" 2>/dev/null | sha256sum | cut -c1-16)
found=$(docker image inspect --format '{{index .Config.Labels "tally.base.recipe"}}' "$image" 2>/dev/null || true)
if [ "$found" = "$recipe" ]; then
    say "$image is up to date (recipe $recipe)."
    exit 0
fi
replaced=$(docker image inspect --format '{{.Id}}' "$image" 2>/dev/null || true)

[ "$(id -u)" = 0 ] || die "debootstrap requires root to create a root file system: run sudo $0"
command -v debootstrap >/dev/null || die "expected debootstrap on PATH, found none: run apt-get install debootstrap"

root=$(mktemp -d "${TMPDIR:-/tmp}/tally-base.XXXXXX")
trap 'rm -rf "$root"' EXIT
trap 'exit 1' INT TERM HUP

say "making $image (one to three minutes)"
debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$root" \
    ${mirror:+"$mirror"} >&2 ||
    die "debootstrap failed: see its last lines above. If it cannot reach the mirror, set DEBIAN_MIRROR to another one."

# Containers must trust the same certificate authorities as this machine, which may include a private one.
[ ! -r "$trusted" ] || cp "$trusted" "$root$trusted"

# Remove package lists and archives, manuals, translations and logs. Licences require the copyright files to stay.
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/* "$root"/var/log/* "$root"/usr/share/man/* \
    "$root"/usr/share/info/* "$root"/usr/share/locale/* "$root"/usr/share/lintian "$root"/debootstrap
find "$root/usr/share/doc" ! -type d ! -name copyright -delete
find "$root/usr/share/doc" -type d -empty -delete
# apt fails if its two cache folders are missing.
mkdir -p "$root/var/cache/apt/archives/partial" "$root/var/lib/apt/lists/partial"
# debootstrap copies these files from this machine. Docker writes them for each container.
: >"$root/etc/resolv.conf"
: >"$root/etc/hostname"

tar -C "$root" -c . | docker import \
    --change "LABEL tally.base.recipe=$recipe" \
    --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8' \
    --change 'CMD ["python3"]' \
    - "$image" >/dev/null
# The tag has moved to the new image. Remove the replaced image, unless it has another tag or other images need it.
if [ -n "$replaced" ] && [ "$(docker image inspect --format '{{len .RepoTags}}' "$replaced" 2>/dev/null)" = 0 ]; then
    docker image rm "$replaced" >/dev/null 2>&1 ||
        say "the replaced image stays until the images that were built from it are removed."
fi
say "made $image ($(docker image inspect --format '{{.Size}}' "$image" | awk '{ printf "%.0f MB", $1 / 1e6 }'))."
