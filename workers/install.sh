#!/usr/bin/env bash
# Installs PiSyft on a Raspberry Pi, and a worker that starts at boot. See --help.
#
# Everything that may fail for lack of space, network or wheels happens first, in a folder of its own; only then is
# anything put where the system looks. What failed is removed again; what was interrupted is continued the next time.
set -euo pipefail
umask 022

usage() {
    cat <<'TEXT'
Usage: sudo workers/install.sh --classroom FOLDER [--names FOLDER] [--wheelhouse FOLDER]
       sudo workers/install.sh --uninstall

Installs PiSyft below /opt/pisyft, and the service pisyft-worker@ID. Nothing is compiled; 1 GB is enough.

  --classroom FOLDER   this Pi's folder of a classroom (pisyft classroom create); without it, no service
  --names FOLDER       names for the worker, copied unless it has some
  --wheelhouse FOLDER  packages from here and not from the internet (pisyft classroom pack)
  --package FILE       PiSyft's own wheel; by default that of the wheelhouse, or made from the folder of this script
  --options TEXT       more options of `pisyft worker`, as in "--policy teach"
  --uninstall          remove all of it, also the workers' certificates, names and models

Exit status: 0 installed (or removed), 1 not installed, and this Pi is as it was.
TEXT
}

say() { printf '==> %s\n' "$*"; }
give_up() {
    printf 'Error: %s\n' "$1" >&2
    exit 1
}

# For tests: a folder in place of /, in which nothing is asked of systemd.
root=${PISYFT_ROOT:-}
opt=$root/opt/pisyft
etc=$root/etc/pisyft
state=$root/var/lib/pisyft
unit=$root/etc/systemd/system/pisyft-worker@.service
command=$root/usr/local/bin/pisyft
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$(dirname "$here")
python=${PISYFT_PYTHON:-python3}
needed_mb=1000
account=pisyft

classroom='' names='' wheelhouse='' package='' options='' uninstall=''
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage && exit 0 ;;
    --uninstall) uninstall=yes && shift && continue ;;
    --classroom | --names | --wheelhouse | --package | --options)
        [ $# -gt 1 ] || give_up "$1 needs a value: see --help"
        declare "${1#--}=$2"
        shift 2
        ;;
    *) give_up "there is no option $1: see --help" ;;
    esac
done

has_systemd() { [ -z "$root" ] && command -v systemctl >/dev/null; }
systemd_runs() { has_systemd && [ -d /run/systemd/system ]; }

[ -n "$root" ] || [ "$(id -u)" = 0 ] || give_up "this needs root: sudo $0 ..."

remove_everything() {
    local folder
    if has_systemd; then
        for folder in "$etc"/*/; do
            [ -d "$folder" ] || continue
            systemctl disable "pisyft-worker@$(basename "$folder")" 2>/dev/null || true
            ! systemd_runs || systemctl stop "pisyft-worker@$(basename "$folder")" 2>/dev/null || true
        done
    fi
    rm -rf "$opt" "$etc" "$state" "$unit"
    [ "$(readlink "$command" 2>/dev/null)" != "$opt/current/bin/pisyft" ] || rm -f "$command"
    ! systemd_runs || systemctl daemon-reload
    if [ -z "$root" ] && id "$account" >/dev/null 2>&1; then userdel "$account"; fi
}
if [ -n "$uninstall" ]; then
    remove_everything
    say "PiSyft is removed, with all that its workers had"
    exit 0
fi

# --- What this Pi is -----------------------------------------------------------------------------------------------

model=$({ tr -d '\0' <"$root/proc/device-tree/model"; } 2>/dev/null || true)
say "This is ${model:-no Raspberry Pi that says so}"
machine=$(uname -m)
command -v "$python" >/dev/null || give_up "there is no $python: sudo apt install python3-venv"
read -r bits version < <("$python" -c 'import struct, sys; print(struct.calcsize("P") * 8, "%d.%d" % sys.version_info[:2])')
if [ "$bits" != 64 ] || [ "$machine" = armv7l ] || [ "$machine" = armv6l ]; then
    give_up "this system has 32 bits, and PyTorch has no packages for it: install Raspberry Pi OS (64-bit)"
fi
[ "$machine" = aarch64 ] ||
    give_up "this is a computer with $machine, no Pi: here, PiSyft is installed with make (see README.md)"
case $version in
2.* | 3.[0-9]) give_up "Python $version is too old: Raspberry Pi OS Bookworm has 3.11, Trixie 3.13" ;;
esac
"$python" -c 'import ensurepip, venv' 2>/dev/null || give_up "Python's venv is missing: sudo apt install python3-venv"
memory_mb=$(($(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' "$root/proc/meminfo") / 1024))
[ "$memory_mb" -ge 360 ] || give_up "$memory_mb MB of memory are too few for a worker: take a Pi with 512 MB or more"
if [ "$(date +%s)" -lt $(($(stat -c %Y "${BASH_SOURCE[0]}") - 86400)) ]; then
    give_up "the clock says $(date '+%F %R'), which is over: sudo date --set '2026-01-31 12:00', or connect it to a network"
fi
say "$machine, Python $version, $memory_mb MB of memory"

# --- What is to be installed ---------------------------------------------------------------------------------------

id=''
if [ -n "$classroom" ]; then
    [ -f "$classroom/classroom.toml" ] || give_up "there is no $classroom/classroom.toml: name the Pi's folder of a classroom"
    id=$(sed -n 's/^id *= *"\([a-z0-9-]*\)".*/\1/p' "$classroom/classroom.toml")
    [ -n "$id" ] || give_up "$classroom/classroom.toml does not say whose it is: copy it again from the laptop"
    [ "$id" != coordinator ] || give_up "$classroom is the coordinator's, and stays on the laptop: take a Pi's folder"
    # Before minutes are spent on packages. All else about certificates is checked once PiSyft can do it.
    "$python" - "$classroom/$id.pem" <<'TEXT' || exit 1
import datetime, re, ssl, sys
from pathlib import Path
try:
    der = ssl.PEM_cert_to_DER_cert(Path(sys.argv[1]).read_text(encoding="ascii"))
    start = re.search(rb"\x17\x0d(\d{12})Z", der)[1].decode()  # the first UTCTime in a certificate (RFC 5280, 4.1)
except (OSError, ValueError, TypeError) as error:
    sys.exit(f"Error: {sys.argv[1]} is no certificate ({error}): copy the folder again from the laptop")
start = datetime.datetime.strptime(start, "%y%m%d%H%M%S")
now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
if now < start:
    sys.exit(
        f"Error: {sys.argv[1]} is valid from {start:%F %R} UTC, and this Pi's clock says {now:%F %R}: set the clock, "
        "sudo timedatectl set-ntp true, or sudo date --set"
    )
TEXT
fi
has_names() { compgen -G "$1/*.txt" >/dev/null || compgen -G "$1/train/*.txt" >/dev/null; }
if [ -n "$names" ] && ! has_names "$names"; then
    give_up "there are no names in $names: a file Language.txt for each language, or a folder of pisyft data split"
fi
pins=$project/requirements/pi.txt
pysyft=$project/requirements/pysyft.txt
for file in "$pins" "$pysyft" "$here/pisyft-worker@.service"; do
    [ -f "$file" ] || give_up "there is no $file: copy the whole folder of PiSyft, not this script alone"
done
wheels() { find "$wheelhouse" -maxdepth 1 -name '*.whl' -printf '%f\n' | sort; }
if [ -n "$wheelhouse" ]; then
    [ -d "$wheelhouse" ] || give_up "there is no folder $wheelhouse: fill it on the laptop with pisyft classroom pack"
    wheelhouse=$(cd "$wheelhouse" && pwd)
    [ -n "$package" ] || package=$wheelhouse/$(wheels | grep '^pisyft-' | tail -n 1 || true)
fi
if [ -n "$package" ] && [ ! -f "$package" ]; then
    give_up "there is no wheel of PiSyft in ${wheelhouse:-$package}: fill it with pisyft classroom pack"
fi
[ -n "$package" ] || [ -f "$project/setup.py" ] || give_up "PiSyft itself is not here: give --package or --wheelhouse"
sources() { if [ -n "$package" ]; then cat "$package"; else find "$project/pisyft" -name '*.py' -print0 | sort -z | xargs -0 cat; fi; }
key=$({ cat "$pins" "$pysyft" && echo "$version" && sources; } | sha256sum | cut -c 1-12)
target=$opt/$key
installed=''
[ ! -f "$target/complete" ] || installed=yes
if [ -n "$wheelhouse" ] && [ -z "$installed" ]; then
    tag=cp${version/./}
    there=$(wheels)
    while IFS= read -r pin; do
        name=${pin%%==*}
        file=$(printf '%s' "$name-${pin##*==}" | sed 's/[-.]/[-_.]/g')
        listed=$(printf '%s\n' "$there" | grep -i "^$file-" || true)
        [ -n "$listed" ] || give_up "$wheelhouse has no $pin: fill it again with pisyft classroom pack"
        fits=$(printf '%s\n' "$listed" | grep -E -- "-(py3|py2\.py3|$tag|cp3[0-9]*-abi3)-.*" | grep -E "(-any|_$machine)\.whl\$" || true)
        [ -n "$fits" ] || give_up "$wheelhouse has $name for another machine or Python only ($(printf '%s' "$listed" | head -n 1)), and this is $machine with Python $version: fill it with pisyft classroom pack"
    done < <(grep -hv '^#' "$pins" "$pysyft")
fi

# --- The environment: continued if it was interrupted, removed if it failed ----------------------------------------

undo=()
log=''
failed() {
    local status=$?
    trap - EXIT INT TERM
    [ -z "$log" ] || rm -f "$log"
    if [ "$status" -ne 0 ]; then
        for ((i = ${#undo[@]} - 1; i >= 0; i--)); do eval "${undo[i]}" || true; done
    fi
    exit "$status"
}
interrupted() {
    undo=()
    [ -z "$committing" ] || undo=("${to_restore[@]}")
    printf 'Interrupted: run it again, and it goes on from here.\n' >&2
    exit 130
}
committing='' to_restore=()
trap failed EXIT
trap interrupted INT TERM

why() { # what pip's log says, in a sentence with its mend
    if grep -q 'No space left' "$log"; then
        echo "the disk is full: $needed_mb MB must be free in $opt, and $(df -Pm "$opt" | awk 'NR == 2 {print $4}') are"
    elif grep -Eq 'NewConnectionError|NameResolutionError|Name or service not known|Temporary failure in name|ConnectTimeout|Network is unreachable|No route to host' "$log"; then
        echo "there is no network, and no wheelhouse: connect this Pi, or fill a folder with pisyft classroom pack on the laptop and give --wheelhouse"
    else
        echo "pip could not install: $(grep -E 'ERROR|error' "$log" | tail -n 1)"
    fi
}
pip() {
    "$target/bin/python" -m pip --disable-pip-version-check --no-input "$@" >"$log" 2>&1 || give_up "$(why)"
}

if [ -n "$installed" ]; then
    say "PiSyft is there already ($key)"
else
    [ -d "${opt%/*}" ] || undo+=("rmdir '${opt%/*}'")
    undo+=("rmdir '$opt' 2>/dev/null" "rm -rf '$target'")
    mkdir -p "$opt"
    free_mb=$(df -Pm "$opt" | awk 'NR == 2 {print $4}')
    had_mb=$(du -sm "$target" 2>/dev/null | cut -f 1 || true)
    [ $((free_mb + ${had_mb:-0})) -ge $needed_mb ] ||
        give_up "the disk is too full: $needed_mb MB must be free in $opt, and $free_mb are"
    # Not in /tmp, which may be memory, of which a Pi has little.
    export TMPDIR=$opt/tmp
    mkdir -p "$TMPDIR"
    undo+=("rm -rf '$TMPDIR'")
    log=$(mktemp)
    say "Making an environment in $target"
    "$python" -m venv "$target" >"$log" 2>&1 || give_up "$(why)"
    # Not compiled to bytecode, which would take a Pi 3 minutes: what a worker imports is, when it is tried below.
    from=(--no-cache-dir --no-compile --no-deps --only-binary :all:)
    if [ -n "$wheelhouse" ]; then
        from+=(--no-index --find-links "$wheelhouse")
    else
        from+=(--retries 1 --timeout 20)
    fi
    say "Installing packages${wheelhouse:+ from $wheelhouse}"
    # Small ones first: a network that is not there is noticed at once, and not with the largest.
    pip install "${from[@]}" --requirement <(grep -v '^torch=' "$pins")
    say "Installing PyTorch"
    pip install "${from[@]}" --requirement <(grep '^torch=' "$pins")
    say "Installing PySyft and PiSyft"
    pip install "${from[@]}" --use-deprecated=legacy-resolver --requirement "$pysyft"
    if [ -n "$package" ]; then
        pip install "${from[@]}" --force-reinstall "$package"
    else
        work=$(mktemp -d)
        undo+=("rm -rf '$work'")
        cp -r "$project/pisyft" "$project/setup.py" "$project/pyproject.toml" "$work"
        [ ! -f "$project/README.md" ] || cp "$project/README.md" "$work"
        pip install --no-compile --no-deps --no-build-isolation --force-reinstall "$work"
        rm -rf "$work"
    fi
    say "Trying PyTorch on this processor"
    "$target/bin/python" -c 'import torch; a = torch.ones(64, 64); assert (a @ a).sum() == 64 ** 3' >"$log" 2>&1 ||
        give_up "PyTorch does not run on this processor ($(tail -n 1 "$log")): please tell us the model, ${model:-unknown}"
    "$target/bin/python" -c 'import pisyft.cli.worker, pisyft.learning.released
from pisyft.compat.lean import leave_out_what_workers_do_not_need
leave_out_what_workers_do_not_need()
import pisyft.worker' >"$log" 2>&1 || give_up "PiSyft cannot be imported: $(tail -n 1 "$log")"
fi
if [ -n "$id" ]; then
    "$target/bin/python" - "$classroom" >"${log:=$(mktemp)}" 2>&1 <<'TEXT' || give_up "$(tail -n 1 "$log")"
import shutil, sys, tempfile
from pathlib import Path
from pisyft.classroom import Classroom
with tempfile.TemporaryDirectory() as folder:  # a copied secret is often readable by all; its copy here is not
    copy = Path(shutil.copytree(sys.argv[1], Path(folder) / "classroom"))
    for secret in (*copy.glob("*.key"), *copy.glob("*.token")):
        secret.chmod(0o600)
    try:
        Classroom.load(copy / "classroom.toml")
    except Exception as error:
        sys.exit(str(error).replace(str(copy), sys.argv[1]))
TEXT
fi

# --- From here on the system changes; each step knows how it is taken back -----------------------------------------

committing=yes
to_restore=()
later() { undo+=("$1") && to_restore+=("$1"); }
keep() { # a file or link that is about to be replaced
    if [ -e "$1" ] || [ -L "$1" ]; then
        cp -a "$1" "$1.before"
        later "mv -fT '$1.before' '$1'"
    else
        later "rm -f '$1'"
    fi
}
forget() { rm -f "$1.before"; }

[ -n "$installed" ] || touch "$target/complete"
keep "$opt/current"
ln -sfnT "$target" "$opt/current"
mkdir -p "$(dirname "$command")" "$(dirname "$unit")"
keep "$command"
ln -sfnT "$opt/current/bin/pisyft" "$command"
keep "$unit"
cp "$here/pisyft-worker@.service" "$unit"
if [ -n "$id" ]; then
    say "Setting up the worker $id"
    if [ -z "$root" ]; then
        id "$account" >/dev/null 2>&1 || { useradd --system --user-group --home-dir "$state" --shell /usr/sbin/nologin "$account" && later "userdel $account"; }
    fi
    own() { [ -n "$root" ] || chown -R "$account:$account" "$@"; }
    mkdir -p "$etc" "$state"
    if [ -d "$etc/$id" ]; then
        rm -rf "$etc/.$id.before" && cp -a "$etc/$id" "$etc/.$id.before"
        later "rm -rf '$etc/$id' && mv '$etc/.$id.before' '$etc/$id'"
    else
        later "rm -rf '$etc/$id'"
    fi
    rm -rf "$etc/.$id.new" && mkdir -m 700 "$etc/.$id.new"
    cp "$classroom"/classroom.toml "$classroom"/*.pem "$classroom"/*.key "$etc/.$id.new/"
    for token in "$classroom"/*.token; do [ ! -f "$token" ] || cp "$token" "$etc/.$id.new/"; done
    find "$etc/.$id.new" \( -name '*.key' -o -name '*.token' \) -exec chmod 600 {} +
    own "$etc/.$id.new"
    rm -rf "${etc:?}/$id" && mv "$etc/.$id.new" "$etc/$id"
    if [ -n "$options" ]; then
        keep "$etc/$id.env"
        printf 'PISYFT_OPTIONS=%s\n' "$options" >"$etc/$id.env"
    fi
    [ -d "$state/$id" ] || later "rm -rf '${state:?}/$id'"
    mkdir -p "$state/$id/models"
    if [ -n "$names" ] && [ ! -d "$state/$id/names" ]; then cp -r "$names" "$state/$id/names"; fi
    mkdir -p "$state/$id/names"
    own "$state/$id"
    [ -n "$root" ] || chown "$account:$account" "$state"
    chmod 750 "$state/$id"
    # Who uses this Pi adds names without sudo.
    chmod -R g+rwX "$state/$id/names" && find "$state/$id/names" -type d -exec chmod g+s {} +
    if [ -z "$root" ] && [ -n "${SUDO_USER:-}" ] && [ "$SUDO_USER" != root ]; then usermod -aG "$account" "$SUDO_USER"; fi
    if has_systemd; then
        ! systemd_runs || systemctl daemon-reload
        systemctl enable "pisyft-worker@$id" >/dev/null 2>&1 || give_up "the service cannot be enabled: systemctl enable pisyft-worker@$id says why"
        later "systemctl disable pisyft-worker@$id"
        if ! has_names "$state/$id/names"; then
            say "It has no names yet: put them into $state/$id/names, then sudo systemctl start pisyft-worker@$id"
        elif systemd_runs; then
            systemctl restart "pisyft-worker@$id" || give_up "the worker does not start: journalctl -u pisyft-worker@$id says why"
            say "The worker $id runs: journalctl -fu pisyft-worker@$id"
        else
            say "The worker $id starts at the next boot (systemd does not run here)"
        fi
    fi
fi
undo=()
committing=''
rm -rf "$opt/tmp"
unset TMPDIR
for file in "$opt/current" "$command" "$unit" "$etc/${id:-none}.env"; do forget "$file"; done
[ -z "$id" ] || rm -rf "$etc/.$id.before"
for old in "$opt"/*/; do # environments of earlier versions, or of an installation that was given up
    old=${old%/}
    [ "$old" = "$target" ] || [ "$old" = "$opt/current" ] || rm -rf "$old"
done
say "Installed: $(du -sm "$target" | cut -f 1) MB"
say "pisyft doctor"
"$target/bin/pisyft" doctor ${id:+--classroom "$etc/$id" --data "$state/$id"} ||
    say "PiSyft is installed; mend what the table says, and ask again with: sudo pisyft doctor ${id:+--classroom $etc/$id}"
