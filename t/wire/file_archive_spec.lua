--- An archive of mixed files, taken whole by other people's programs: every name and size comes out as it went in.
local process = require "t.support.process"
local server = require "t.support.server"

local NAMES = { "plain.txt", "with space.html", "100%.css", "hash#mark.js", "quest?ion.json", "amp&ersand.svg", "plus+and=.xml", "ünïcödé.png", "日本語.pdf",
    "quote'\".txt", "semi;colon,comma.bin", "tilde~(1).tar.gz", "UPPER.TXT", "no-extension", "dots..in...name.txt", "a:b.txt", "[brackets].md",
    "back\\slash.txt" }
local SIZES = { 0, 1, 511, 512, 4095, 4096, 4097, 65535, 65536, 65537, 524288, 1048577, 6000000 } -- the last is read while it is sent

--- Bytes that differ from file to file; some can be packed, others cannot.
local function content(at, size)
    local unit = ("%d:%s|"):format(at, at % 3 == 0 and ("\0\255%c"):format(at % 256) or "text of a line\n")
    return unit:rep(math.ceil(size / #unit)):sub(1, size)
end

local function archive()
    local path = process.folder()
    local count = 0
    for _, folder in ipairs { "", "sub", "sub/deeper still", "ümlaut" } do
        require "lfs".mkdir(path .. "/" .. folder)
        for at, name in ipairs(NAMES) do
            count = count + 1
            process.write_file(("%s/%s/%s"):format(path, folder, name), content(count, SIZES[(at + #folder) % #SIZES + 1]))
        end
    end
    assert(os.execute(("chmod 755 '%s' && find '%s' -type f -exec touch -d 2020-01-01 {} +"):format(path, path)) == 0)
    return path, count
end

describe("an archive of mixed files", function()
    local s, path, count, taken
    setup(function()
        path, count = archive()
        s = server.start { script = ([[
            local app = require "moongate".app()
            app:files("/*", %q, { list = true })
            return app]]):format(path) }
    end)
    before_each(function() taken = process.folder() end)
    after_each(function() process.remove_folder(taken) end)
    teardown(function()
        s:stop()
        server.sweep()
        process.remove_folder(path)
    end)

    local function same()
        local code, out = process.run({ "diff", "-r", path, taken }, 30)
        assert.equal(0, code, out)
    end

    it("comes whole by its listings, to wget", function()
        local code, _, err = process.run({ "wget", "-q", "-r", "-np", "-nH", "--restrict-file-names=nocontrol", "-R", "index.html*", "-P", taken,
            ("http://127.0.0.1:%d/"):format(s.port) }, 60)
        assert.equal(0, code, err)
        os.execute(("find '%s' -name 'index.html*' -delete"):format(taken))
        same()
    end)

    it("comes whole, many at once, to curl, packed on the way and unpacked there", function()
        local config = { 'parallel\nparallel-max = 20\nfail\nsilent\nshow-error\ncompressed\ncreate-dirs\n' }
        for line in io.popen(("cd '%s' && find . -type f"):format(path)):lines() do
            local name = line:sub(3)
            local url = name:gsub("[^%w%-%._~/]", function(c) return ("%%%02X"):format(c:byte()) end)
            config[#config + 1] = ('url = "http://127.0.0.1:%d/%s"\noutput = "%s/%s"\n'):format(s.port, url, taken, (name:gsub('[\\"]', "\\%0")))
        end
        assert.equal(count + 1, #config)
        process.write_file(taken .. ".curl", table.concat(config))
        local code, _, err = process.run({ "curl", "-K", taken .. ".curl" }, 60)
        os.remove(taken .. ".curl")
        assert.equal(0, code, err)
        same()
    end)
end)
