# Sourced by the scripts of the datastore driver.

# shellcheck source=tests/drivers/remotes/tm/filecopy/common.sh
. "$(dirname "$0")/../../tm/filecopy/common.sh"

# field PATH: text of an element of the document on standard input.
field() {
    printf '%s' "$INPUT" | base64 -d |
        python3 -c 'import sys, xml.etree.ElementTree as t; print(t.parse(sys.stdin).getroot().findtext(sys.argv[1]) or "")' "$1"
}

# source_new: a name for the image REQUEST_ID in its datastore.
source_new() {
    local base
    base=$(field DATASTORE/BASE_PATH)
    mkdir -p "$base"
    printf '%s/filecopy-%s' "$base" "$1"
}
