--- A real browser at a site of files: a page with many assets, asked for twice, and a video that is sought through. The page itself looks at what it got
--- and reports; the browser's own log must have no complaint.
local json = require "cjson"
local process = require "t.support.process"
local server = require "t.support.server"
local webm = require "t.support.webm"

local IMAGES, STYLES, MODULES, SECONDS, SECOND_BYTES = 60, 12, 20, 60, 500000

local PAGE = [[<!doctype html><html lang=en><meta charset=utf-8><title>Many</title><link rel=icon href=/icon.svg>
%s
<h1>Many assets</h1><p id=word>ünïcode</p>
%s
<video id=video src="/video%%20of%%20one%%20blue.webm" muted preload=metadata></video>
<script type=module src=/js/report.js></script>
]]

--- Runs in the page: waits for all, seeks through the video, says what it saw, loads the page again, says it again.
local REPORT = [[
%s
const once = (target, name) => new Promise((done, failed) => {
    target.addEventListener(name, done, { once: true });
    target.addEventListener("error", () => failed(new Error(name + ": " + (target.error && target.error.message))), { once: true });
});
const report = { words: [%s].length, problems: [] };
addEventListener("error", (event) => report.problems.push(String(event.message)));
addEventListener("unhandledrejection", (event) => report.problems.push(String(event.reason)));
try {
    if (document.readyState !== "complete") await once(window, "load");
    report.images = [...document.images].filter((image) => image.complete && image.naturalWidth === 10).length;
    report.styled = [...document.images].filter((image) => getComputedStyle(image).borderTopWidth === "3px").length;
    report.text = document.getElementById("word").textContent;
    const video = document.getElementById("video");
    if (video.readyState < 1) await once(video, "loadedmetadata");
    report.duration = video.duration;
    report.sought = [];
    for (const second of [50, 10, 30]) {
        video.currentTime = second;
        await once(video, "seeked");
        report.sought.push(video.currentTime);
    }
    const missing = await fetch("/none.txt");
    report.missing = missing.status;
    const part = await fetch("/data.txt", { headers: { Range: "bytes=2-5" } });
    report.part = [part.status, part.headers.get("content-range"), await part.text()];
} catch (error) {
    report.problems.push(String(error));
}
await fetch("/report", { method: "POST", body: JSON.stringify(report) });
if (!sessionStorage.getItem("again")) {
    sessionStorage.setItem("again", "yes");
    location.reload();
}
]]

local function site_files()
    local files, heads, images, imports, words = {}, {}, {}, {}, {}
    for at = 1, STYLES do
        local name = ("css/style %d.css"):format(at)
        files["public/" .. name] = (".i%d { border: 3px solid #36%x }\n"):format(at, at % 10):rep(100)
        heads[at] = ('<link rel=stylesheet href="/css/style%%20%d.css">'):format(at)
    end
    for at = 1, IMAGES do
        files[("public/img/bild-%d-ü.svg"):format(at)] =
            ('<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"><rect width="10" height="%d"/></svg>'):format(at)
        images[at] = ('<img class=i%d src="/img/bild-%d-%%C3%%BC.svg" alt="">'):format((at - 1) % STYLES + 1, at)
    end
    for at = 1, MODULES do
        files[("public/js/m%d.js"):format(at)] = ("export const word = 'word %d';\n"):format(at)
        imports[at] = ('import { word as w%d } from "/js/m%d.js";'):format(at, at)
        words[at] = "w" .. at
    end
    files["public/index.html"] = PAGE:format(table.concat(heads, "\n"), table.concat(images, "\n"))
    files["public/js/report.js"] = REPORT:format(table.concat(imports, "\n"), table.concat(words, ", "))
    files["public/icon.svg"] = '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"/>'
    files["public/data.txt"] = "0123456789"
    files["public/video of one blue.webm"] = webm.make(SECONDS, SECOND_BYTES) -- 30 MB: read while it is sent
    return files
end

local function browser()
    for _, name in ipairs { "chromium-headless-shell", "chromium" } do
        if process.run({ "sh", "-c", "command -v " .. name }, 10) == 0 then return name end
    end
end

--- The page's reports, once there are two of them.
local function reports_of(s)
    local limit, list = process.now() + (server.sanitized and 60 or 30), {}
    repeat list = json.decode(s:get("/reports").body) until #list == 2 or process.now() > limit
    return list
end

--- The browser's requests, from the access log.
local function requests_of(s)
    local list = {}
    for line in process.read_file(s.folder .. "/access.log"):gmatch("[^\n]+") do list[#list + 1] = json.decode(line) end
    return list
end

describe("a browser", function()
    after_each(server.sweep)

    it("shows a page with many assets, twice, and seeks through a video", function()
        local program = browser()
        if not program then return pending("neither chromium-headless-shell nor chromium is installed: t/support/install.sh test") end
        local s = server.start { files = site_files(), script = [[
            local mg = require "moongate"
            local app = mg.app()
            local reports = {}
            app:files("/*", "public", { cache_control = { ["*"] = "no-cache" } })
            app:post("/report", function(req) reports[#reports + 1] = assert(req:json()) return 204 end)
            app:get("/reports", function() return reports end)
            return { app = app, log = { access = "access.log", format = "json" } }]] }
        os.execute(("find '%s/public' -type f -exec touch -d 2020-01-01 {} +"):format(s.folder))
        local log = s.folder .. "/browser.log"
        local child = process.spawn { program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--mute-audio", "--no-first-run",
            "--autoplay-policy=no-user-gesture-required", "--enable-logging=stderr", "--user-data-dir=" .. s.folder .. "/profile",
            "--remote-debugging-port=0", ("http://127.0.0.1:%d/"):format(s.port), stdout = log, stderr = log, group = true }
        local reports = reports_of(s)
        child:kill()
        assert.equal(2, #reports, process.read_file(log))
        for _, report in ipairs(reports) do
            assert.same({}, report.problems)
            assert.same({ MODULES, IMAGES, IMAGES, "ünïcode", SECONDS, 404, { 50, 10, 30 }, { 206, "bytes 2-5/10", "2345" } },
                { report.words, report.images, report.styled, report.text, report.duration, report.missing, report.sought, report.part })
        end
        for line in process.read_file(log):gmatch("[^\n]+") do
            if line:find("CONSOLE", 1, true) then assert.is_truthy(line:find("none.txt", 1, true), line) end -- the one that was asked for in vain
        end
        s:stop()
        local again, packed, parts = 0, 0, 0
        for _, row in ipairs(requests_of(s)) do
            local expected = row.target == "/none.txt" and 404 or row.target == "/report" and 204 or row.target == "/data.txt" and 206 or 200
            local is_video = row.target:find("webm", 1, true) ~= nil
            assert.is_true(row.status == expected or (row.status == 304 and expected < 300) or (row.status == 206 and is_video), row.target .. " " .. row.status)
            again = again + (row.status == 304 and 1 or 0)
            packed = packed + (row.target:find("%.css$") and row.status == 200 and row.bytes < 500 and 1 or 0)
            parts = parts + (row.status == 206 and is_video and 1 or 0)
        end
        assert.equal(STYLES, packed)
        assert.is_true(again > IMAGES / 2, again .. " were asked for again, with a condition")
        assert.is_true(parts >= 3, "the video was asked for from " .. parts .. " places")
    end)
end)
