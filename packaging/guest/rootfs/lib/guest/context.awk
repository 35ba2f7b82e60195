# Reads context.sh as data: KEY='value' with '\'' for a quote, values may span
# lines. Everything else is reported and left out, so nothing in the file is
# ever executed. Writes two files of shell assignments:
#   variables    CTX_KEY='value', for the guest's own scripts
#   environment  KEY='value', for START_SCRIPT, without keys that would
#                change how the shell itself works
BEGIN { RS = "\001"; quote = "'"; escaped = "\\" quote quote }

function line_drop(    end) {
    end = index(text, "\n")
    text = end ? substr(text, end + 1) : ""
}

function value_take(    value, end) {
    value = ""
    for (;;) {
        end = index(text, quote)
        if (!end) { text = ""; bad = 1; return "" }
        value = value substr(text, 1, end - 1)
        text = substr(text, end + 1)
        if (substr(text, 1, 3) != escaped) return value
        value = value quote escaped
        text = substr(text, 4)
    }
}

{
    text = $0
    while (text != "") {
        if (match(text, /^[ \t\r]*(#[^\n]*)?(\n|$)/) && RLENGTH > 0) {
            text = substr(text, RLENGTH + 1)
            continue
        }
        if (!match(text, /^[A-Za-z_][A-Za-z0-9_]*='/)) {
            print "context.sh: a line that is not KEY='value' is ignored" > "/dev/stderr"
            line_drop()
            continue
        }
        key = substr(text, 1, RLENGTH - 2)
        text = substr(text, RLENGTH + 1)
        bad = 0
        value = value_take()
        if (bad || (text != "" && substr(text, 1, 1) != "\n")) {
            print "context.sh: the value of " key " is not quoted properly, ignored" > "/dev/stderr"
            line_drop()
            continue
        }
        print "CTX_" key "=" quote value quote > (dir "/variables")
        if (key !~ /^(PATH|IFS|ENV|HOME|SHELL|PWD|PS[0-9]|LD_.*)$/)
            print key "=" quote value quote > (dir "/environment")
    }
}
