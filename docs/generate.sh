#!/usr/bin/env bash
# Writes docs/en/api.md and docs/zh/api.md from the method table of the binary, and their number into the README and CHANGELOG.
#   docs/generate.sh [PLERION]      default: target/release/plerion, else target/debug/plerion
set -euo pipefail
docs=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
binary=${1-}
if [ -z "$binary" ]; then
    binary=$docs/../target/release/plerion
    [ -x "$binary" ] || binary=$docs/../target/debug/plerion
fi
[ -x "$binary" ] || { echo "there is no $binary: build it (make build), or name it" >&2; exit 1; }

# table LANGUAGE: one section a family, one row a method.
table() {
    "$binary" methods | awk -F '\t' -v language="$1" '
        # On(Manage, Vm) is MANAGE VM.
        function right(text,    word) {
            if (text == "Login") return language == "zh" ? "已登录" : "login"
            gsub(/[()]/, " ", text); gsub(/,/, "", text)
            split(text, word, " ")
            gsub(/VmGroup/, "VMGROUP", word[3]); gsub(/SecurityGroup/, "SECGROUP", word[3]); gsub(/Vnet/, "NET", word[3])
            gsub(/SecurityGroup/, "SECGROUP", word[2]); gsub(/Vnet/, "NET", word[2])
            if (word[1] == "Filtered") return "USE " toupper(word[2]) (language == "zh" ? "（只列出有权的）" : " (lists what may be used)")
            return toupper(word[2]) " " toupper(word[3])
        }
        {
            split($1, part, ".")
            family = part[2]
            sub(/pool$/, "", family)
            rows[family] = rows[family] sprintf("| `%s` | %s | %s | %s |\n", $1, $2 == "" ? "-" : $2, right($3), $4)
            if (!(family in seen)) { seen[family] = 1; order[++count] = family }
            total++
        }
        END {
            head = language == "zh" ? "| 方法 | 会话之后的参数 | 所需权限 | 作用 |" : "| method | parameters after the session | right | what it does |"
            printf((language == "zh" ? "共 %d 个方法。\n" : "%d methods.\n"), total)
            for (i = 1; i <= count; i++) printf "\n## one.%s\n\n%s\n|---|---|---|---|\n%s", order[i], head, rows[order[i]]
        }'
}

{
    cat <<'TEXT'
# Methods of the API

Made by `docs/generate.sh` from `plerion methods`; do not edit.

XML-RPC 1.0 over HTTP: POST to port 2633, path `/RPC2` (or `/`). The first parameter of each method is the session,
`user:password` or `user:token`. An answer is an array: `[true, value, 0]`, or
`[false, text, error code, object id, -1]`. A method that is not here is answered with fault -506.

A parameter with a value in parentheses may be left out. The right is the operation and the kind of object that access
rules and permissions are asked for; `NET` is a virtual network.

TEXT
    table en
} >"$docs/en/api.md"
{
    cat <<'TEXT'
# API 方法

由 `docs/generate.sh` 根据 `plerion methods` 生成，请勿手工修改。说明一栏取自程序本身，为英文。

XML-RPC 1.0，经 HTTP POST 到 2633 端口，路径 `/RPC2`（或 `/`）。每个方法的第一个参数是会话：`用户:密码` 或
`用户:令牌`。返回值是数组：成功为 `[true, 值, 0]`，失败为 `[false, 文本, 错误码, 对象 ID, -1]`。表中没有的方法返回
fault -506。

参数后括号内的值为默认值，可省略。“所需权限”指向访问规则和对象权限询问的操作与对象种类；`NET` 即虚拟网络。

TEXT
    table zh
} >"$docs/zh/api.md"

# The number of methods, where pages name it.
count=$("$binary" methods | wc -l)
sed -i -E "s/[0-9]+ of the 307 XML-RPC/$count of the 307 XML-RPC/" "$docs/../README.md"
sed -i -E "s/307 个 XML-RPC 方法中的 [0-9]+ 个/307 个 XML-RPC 方法中的 $count 个/" "$docs/../README.zh-CN.md"
sed -i -E "s/port 2633: [0-9]+ methods of/port 2633: $count methods of/" "$docs/../CHANGELOG.md"
