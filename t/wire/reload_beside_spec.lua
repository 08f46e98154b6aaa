--- A generation that is loaded beside the one that serves: the one that serves goes on between two calls of the library, and knows nothing
--- of it.
local reloads = require "t.support.reloads"

local ROUTES = 3000

local function many_routes()
    return ('for at = 1, %d do app:get("/r" .. at .. "/:id", function() return "x" end) end\n'):format(ROUTES)
end

-- A task of each generation counts how often it could go on, for all generations to see.
local COUNTER = [==[
local shared = debug.getregistry()
shared.turns = shared.turns or 0
local turns_at_first = shared.turns
mg.spawn(function()
    while true do
        mg.sleep("0.2ms")
        shared.turns = shared.turns + 1
    end
end)
]==]

describe("loading beside a generation that serves", function()
    local r
    before_each(reloads.begin)
    after_each(reloads.sweep)

    it("lets others run again and again while one long file loads", function()
        local text = COUNTER .. many_routes() .. 'local turns = shared.turns - turns_at_first\napp:get("/turns", function() return tostring(turns) end)\n'
        r = reloads.start(text)
        assert.equal("0", r:get("/turns").body)
        r:reload()
        local turns = tonumber(r:get("/turns").body)
        assert.is_true(turns >= 3, ("%d turns while %d routes were made"):format(turns, ROUTES))
    end)

    it("begins tasks of the new one only when all of its files are loaded", function()
        local text = 'local late\nmg.spawn(function() note("late is " .. tostring(late)) end)\n' .. many_routes() .. 'late = "set"\n'
        r = reloads.start(text)
        r:wait_note "late is set"
        r:reload()
        r:reload()
        assert.same({ "late is set", "late is set", "late is set" }, r:notes())
    end)

    it("is not seen by handlers that run meanwhile: misuse raises, and what loads is not extended", function()
        local MEDDLER = [==[
local shared = debug.getregistry()
shared.met = shared.met or {}
mg.spawn(function()
    while true do
        mg.sleep("0.2ms")
        local task = mg.spawn(function() return 1 end)
        for what, fn in pairs {
            misuse = function() mg.upstream { servers = { "no port" } } end,
            extension = function() mg.extend_request("meddled", function() return "yes" end) end,
            exit = function() os.exit(0) end,
        } do
            local ok, message = pcall(fn)
            shared.met[what .. " " .. tostring(ok) .. " " .. tostring(message):gsub("^.-:%d+: ", "")] = true
        end
        task:join()
    end
end)
app:get("/met", function()
    local list = {}
    for text in pairs(shared.met) do list[#list + 1] = text end
    table.sort(list)
    return table.concat(list, "\n")
end)
app:get("/meddled", function(req) return tostring(select(2, pcall(function() return req["med" .. "dled"] end))) end)
]==]
        r = reloads.start(MEDDLER .. many_routes())
        for _ = 1, 3 do r:reload() end
        local met = r:get("/met").body
        assert.matches("^exit false os.exit%(%) would end the whole worker[^\n]*\n"
            .. "extension false mg.extend_request: only while the files load[^\n]*\nmisuse false mg.upstream: servers%[1%][^\n]*$", met)
        assert.not_equal("yes", r:get("/meddled").body)
    end)

    it("is given up in the middle when another reload is asked for, and the last one serves", function()
        r = reloads.start(many_routes() .. 'app:get("/v", function() return "1" end)\n')
        local pending = {}
        for version = 2, 6 do
            r:write(many_routes() .. ('app:get("/v", function() return "%d" end)\n'):format(version))
            pending[#pending + 1] = r:ask_reload()
        end
        require("t.support.instance").wait_until(function() return r:get("/v").body == "6" end, 20)
        for _, asked in ipairs(pending) do
            require("t.support.instance").wait_until(asked, 20)
        end
        r:wait_alone()
        assert.equal("6", r:get("/v").body)
    end)
end)
