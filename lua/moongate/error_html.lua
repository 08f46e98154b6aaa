--- Pages about errors, for browsers: one file without anything from elsewhere, light or dark as the reader likes it. In: what error_page.lua
--- gathered; out: HTML. Every text goes through `e`, whoever wrote it.
local e = require("moongate.html").escape

local M = {}

local STYLE = [[
:root{color-scheme:light dark;--page:#f7f7f5;--card:#fff;--ink:#1c2127;--soft:#69727d;--line:#e3e4e0;--hot:#fff1ec;--mark:#c8431c;--link:#2f6f7e}
@media(prefers-color-scheme:dark){:root{--page:#15181c;--card:#1d2126;--ink:#e6e8ea;--soft:#939ca6;--line:#30363d;--hot:#3a221b;--mark:#ff8a65;--link:#7cc4d4}}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:62rem;margin:0 auto;padding:2.5rem 1.25rem}
.status{color:var(--soft);margin:0;font-size:.95rem}.status b{color:var(--mark)}
h1{font:600 1.35rem/1.4 ui-monospace,monospace;margin:.3rem 0 1rem;white-space:pre-wrap;overflow-wrap:anywhere}
h2{font-size:.8rem;font-weight:600;letter-spacing:.06em;text-transform:uppercase;color:var(--soft);margin:2rem 0 .5rem}
section>div,pre{background:var(--card);border:1px solid var(--line);border-radius:8px;overflow-x:auto}
pre,code,td{font:13.5px/1.6 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}pre{margin:0;padding:.75rem 0}
pre span{display:block;padding:0 1rem;white-space:pre}pre i{font-style:normal;color:var(--soft);display:inline-block;width:3.5em;user-select:none}
pre .hot{background:var(--hot);box-shadow:inset 3px 0 var(--mark)}pre .own{color:var(--soft)}
.file{color:var(--soft);font:13px ui-monospace,monospace;margin:1rem 0 .35rem}
table{border-collapse:collapse;width:100%}td{padding:.3rem 1rem;vertical-align:top;border-top:1px solid var(--line);overflow-wrap:anywhere}
tr:first-child td{border-top:0}td:first-child{color:var(--soft);white-space:nowrap;width:1%}
footer{color:var(--soft);font-size:.85rem;margin-top:2.5rem}code{color:var(--link)}]]

local function document(title, body)
    return ('<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        .. "<title>%s</title><style>%s</style></head>\n<body><main>\n%s\n</main></body></html>\n"):format(e(title), STYLE, body)
end

local function rows(list)
    local made = {}
    for at, row in ipairs(list) do made[at] = ("<tr><td>%s</td><td>%s</td></tr>"):format(e(row[1]), e(row[2])) end
    return "<div><table>" .. table.concat(made, "\n") .. "</table></div>"
end

local function section(title, content)
    return ("<section><h2>%s</h2>%s</section>"):format(e(title), content)
end

local function excerpt(one)
    local lines = {}
    for at, line in ipairs(one.lines) do
        lines[at] = ('<span%s><i>%d</i>%s</span>'):format(line.number == one.line and ' class="hot"' or "", line.number, e(line.text))
    end
    return ('<p class="file">%s:%d</p><pre>%s</pre>'):format(e(one.file), one.line, table.concat(lines))
end

local function stack(frames)
    local lines = {}
    for at, frame in ipairs(frames) do
        lines[at] = ("<span%s>%s</span>"):format(frame.is_own and ' class="own"' or "", e(frame.text))
    end
    return section("Stack", "<pre>" .. table.concat(lines) .. "</pre>")
end

local function near(page)
    local list, is_method = {}, page.status == 405
    for at, route in ipairs(page.near) do list[at] = { is_method and "at this path" or "did you mean", ("%s  (%s)"):format(route.route, route.where) } end
    if page.allowed then list[#list + 1] = { "allowed", page.allowed } end
    return #list > 0 and section(is_method and "Methods" or "Near it", rows(list)) or ""
end

local function route(page)
    local list = { page.route and { "route", ("%s  (%s)"):format(page.route.route, page.route.where) } }
    if page.route then list[2] = { "handler", page.route.what or page.route.handler } end
    for at, filter in ipairs(page.filters or {}) do list[#list + 1] = { "filter " .. at, ("%s  (%s)"):format(filter.pattern, filter.where) } end
    return #list > 0 and section("Route", rows(list)) or ""
end

local function request(asked)
    local list = { { asked.method, asked.target } }
    for _, field in ipairs(asked.fields) do list[#list + 1] = { field.name, field.value } end
    if asked.more_fields then list[#list + 1] = { "…", ("and %d more"):format(asked.more_fields) } end
    return section("Request", rows(list))
end

--- All that is known.
---@param page table of error_page.lua
---@return string
function M.page(page)
    local parts = {
        ('<p class="status"><b>%d</b> %s</p><h1>%s</h1>'):format(page.status, e(page.reason), e(page.message or page.reason)),
    }
    for _, one in ipairs(page.excerpts or {}) do parts[#parts + 1] = excerpt(one) end
    if page.stack and #page.stack > 0 then parts[#parts + 1] = stack(page.stack) end
    if page.near then parts[#parts + 1] = near(page) end
    parts[#parts + 1] = route(page)
    parts[#parts + 1] = request(page.request)
    parts[#parts + 1] = ("<footer>%sShown because the gateway runs in debug mode.</footer>"):format(
        page.id and ("In the log this request is <code>%s</code>. "):format(e(page.id)) or "")
    return document(("%d %s"):format(page.status, page.message or page.reason), table.concat(parts, "\n"))
end

--- An error that is meant.
---@param message? string
---@return string
function M.plain(status, phrase, message)
    return document(("%d %s"):format(status, phrase), ('<p class="status"><b>%d</b></p><h1>%s</h1>%s'):format(status, e(phrase),
        message and ("\n<p>%s</p>"):format(e(message)) or ""))
end

--- What everybody may see.
---@return string
function M.short(status, phrase, id)
    return document(("%d %s"):format(status, phrase), ('<p class="status"><b>%d</b></p><h1>%s</h1>\n<p>This request failed. '
        .. "If you report it, name this id, under which the log has the reason: <code>%s</code></p>"):format(status, e(phrase), e(id)))
end

return M
