# A root file system of Debian sid holds the servers that the host's own release does not have.
# shellcheck shell=bash

# openssl, which the others bring too, makes the certificates of MySQL.
ROOTFS_PACKAGES=(mysql-server-core mysql-client-core postgresql-18-documentdb openssl)
ROOTFS=$SHOP_CACHE/rootfs-1 # raise the number when the recipe below changes

# The machine's own sources say where Debian comes from.
debian_mirror() {
    local site
    # shellcheck disable=SC2016
    site=${SHOP_DEBIAN_MIRROR:-$(
        apt-get indextargets --format '$(SITE)' 'Created-By: Packages' |
            grep -E '/debian/?$|^mirror\+file:.*/debian[^/-]*$' | head -n 1
    )} || true
    if [[ $site == mirror+file:* ]]; then
        site=$(grep -m 1 -o '^[a-z]*://[^[:space:]]*' "${site#mirror+file:}") || true
    fi
    [[ -n $site ]] || die "no Debian mirror in this machine's apt sources: set SHOP_DEBIAN_MIRROR, or start Docker"
    printf '%s' "$site"
}

rootfs_install() {
    ! rootfs_installed || return 0
    local mirror
    mirror=$(debian_mirror)
    have debootstrap || step "debootstrap" apt_install debootstrap
    rm -rf --one-file-system "$ROOTFS.part"
    mkdir -p "$ROOTFS.part"
    step "root file system" rootfs_bootstrap "$ROOTFS.part" "$mirror"
    step "MySQL and DocumentDB" rootfs_servers "$ROOTFS.part"
    mv "$ROOTFS.part" "$ROOTFS"
}

rootfs_bootstrap() {
    local root=$1
    unshare --mount --propagation private -- \
        debootstrap --variant=minbase --include=ca-certificates sid "$root" "$2"
    touch "$root/etc/resolv.conf"
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" # packages must not start servers
    chmod +x "$root/usr/sbin/policy-rc.d"
    {
        apt-config dump | grep -E '^Acquire::https?::' || true
        printf '%s\n' 'Acquire::Check-Valid-Until "false";' 'APT::Install-Recommends "false";'
    } >"$root/etc/apt/apt.conf.d/90shop"
    rootfs_certificates "$root"
}

# What the host trusts, the root file system must trust, for apt, Go and Java alike.
rootfs_certificates() {
    local root=$1 host=/etc/ssl/certs/ca-certificates.crt
    [[ -s $host ]] || return 0
    awk -v dir="$root/usr/local/share/ca-certificates" \
        '/BEGIN CERTIFICATE/ { n++ } n { print > (dir "/host-" n ".crt") }' "$host"
    "$ENGINES_DIR/enter" "$root" root -- update-ca-certificates
}

rootfs_servers() {
    rootfs_apt "$1" "${ROOTFS_PACKAGES[@]}"
    "$ENGINES_DIR/enter" "$1" root -- sh -c 'id mysql || useradd --system mysql'
    "$ENGINES_DIR/enter" "$1" root -- apt-get clean
}

# Repairs what an interrupted install left, then installs.
rootfs_apt() {
    local root=$1
    shift
    "$ENGINES_DIR/enter" "$root" root -- env DEBIAN_FRONTEND=noninteractive sh -euc '
        dpkg --configure -a
        apt-get update
        apt-get install --yes "$@"
    ' sh "$@"
}

# rootfs_command NAME PACKAGE...: makes sure that a build tool is there for hosts without it.
rootfs_command() {
    local name=$1
    shift
    [[ -x $ROOTFS/usr/bin/$name ]] || step "$* in the root file system" rootfs_apt "$ROOTFS" "$@"
}

rootfs_installed() {
    [[ -d $ROOTFS ]]
}

# Numbers of a user inside, as chown wants them.
rootfs_ids() {
    awk -F: -v user="$1" '$1 == user { print $3 ":" $4 }' "$ROOTFS/etc/passwd"
}
