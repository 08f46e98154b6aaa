--- Dictionaries for all workers, against a plain model, with a clock that the spec moves.
local driver = require "t.dict.driver"

local ENOENT, EAGAIN, EEXIST, EINVAL, ENOSPC, E2BIG, ENAMETOOLONG = -2, -11, -17, -22, -28, -7, -36

local function random(seed)
    local state = seed
    return function(below)
        state = (state * 1103515245 + 12345) % 2147483648
        return math.floor(state / 65536) % below
    end
end

describe("a shared dictionary", function()
    local store
    local function make(bytes)
        if store then store:close() end
        store = driver.new(bytes or 1048576)
        return store
    end
    before_each(function() make() end)
    teardown(function() store:close() end)
    after_each(function() assert.equal(0, store:verify()) end)

    it("keeps text of every length around the edges of its blocks, and numbers", function()
        for length = 0, 600 do
            local text = ("x"):rep(length):gsub("x", function() return string.char(33 + length % 90) end)
            assert.equal(0, store:set("key" .. length, text, 0))
        end
        for length = 0, 600 do
            assert.equal(length, #store:get("key" .. length, 0))
            assert.equal(string.char(33 + length % 90):rep(length), (store:get("key" .. length, 0)))
        end
        store:set("n", -0.5, 0)
        assert.equal(-0.5, (store:get("n", 0)))
    end)

    it("takes keys of 1 to 1024 bytes, with any byte in them", function()
        for _, length in ipairs { 1, 55, 56, 57, 1024 } do
            local key = ("\0k\255"):rep(342):sub(1, length)
            assert.equal(0, store:set(key, "of " .. length, 0))
            assert.equal("of " .. length, (store:get(key, 0)))
        end
        assert.equal(ENAMETOOLONG, store:set("", "x", 0))
        assert.equal(ENAMETOOLONG, store:set(("k"):rep(1025), "x", 0))
    end)

    it("adds, replaces, and sets what has not changed", function()
        assert.equal(ENOENT, store:set("a", "1", 0, 0, "replace"))
        assert.equal(0, store:set("a", "1", 0, 0, "add"))
        assert.equal(EEXIST, store:set("a", "2", 0, 0, "add"))
        assert.equal(0, store:set("a", "2", 0, 0, "replace"))
        local _, version = store:get("a", 0)
        assert.equal(0, store:set("a", "3", 0, 0, "same", version))
        assert.equal(EAGAIN, store:set("a", "4", 0, 0, "same", version))
        assert.equal(EAGAIN, store:set("a", "4", 0, 0, "same", 0))
        assert.equal(0, store:set("b", "new", 0, 0, "same", 0))
        assert.equal("3", (store:get("a", 0)))
    end)

    it("never gives a version twice, also when the key was gone in between", function()
        store:set("a", "1", 0)
        local _, first = store:get("a", 0)
        store:delete("a", 0)
        store:set("a", "1", 0)
        local _, second = store:get("a", 0)
        assert.is_true(second > first)
    end)

    it("forgets at the end of the time to live, and not a millisecond before", function()
        store:set("a", "x", 1000, 500)
        local _, _, left = store:get("a", 1499)
        assert.equal(1, left)
        assert.same({ nil, ENOENT }, { store:get("a", 1500) })
        store:set("b", "x", 1000, 500)
        assert.equal(0, store:expire("b", 1400, 0))
        assert.equal("x", (store:get("b", 1e12)))
        assert.equal(ENOENT, store:expire("c", 0, 5))
    end)

    it("counts, from a beginning when it is given one", function()
        assert.same({ nil, ENOENT }, { store:incr("n", 1, 0) })
        assert.equal(11, store:incr("n", 1, 0, 10, 100))
        assert.equal(13.5, store:incr("n", 2.5, 50, 10, 100))
        assert.same({ nil, ENOENT }, { store:incr("n", 1, 100) })
        store:set("t", "text", 0)
        assert.same({ nil, EINVAL }, { store:incr("t", 1, 0) })
    end)

    it("keeps lists that grow and shrink at both ends", function()
        assert.equal(1, store:push("l", "last", "b", 0))
        assert.equal(2, store:push("l", "first", "a", 0))
        assert.equal(3, store:push("l", "last", 3, 0))
        assert.equal(4, store:push("l", "last", ("long"):rep(300), 0))
        assert.equal(4, (store:get("l", 0)))
        assert.equal("a", store:pop("l", "first", 0))
        assert.equal(("long"):rep(300), store:pop("l", "last", 0))
        assert.equal(3, store:pop("l", "last", 0))
        assert.equal("b", store:pop("l", "first", 0))
        assert.same({ nil, ENOENT }, { store:pop("l", "first", 0) })
        store:set("t", "text", 0)
        assert.equal(EINVAL, store:push("t", "last", "x", 0))
        assert.same({ nil, EINVAL }, { store:pop("t", "last", 0) })
    end)

    it("gives up a long list without stopping for it", function()
        for i = 1, 3000 do store:push("l", "last", "element " .. i, 0) end
        assert.equal(0, store:delete("l", 0))
        assert.equal(0, store:verify())
        for i = 1, 1000 do store:set("other" .. i, i, 0) end
        assert.is_true(store:counts().used <= 1001 * 128)
    end)

    it("gives up what nobody asked for, before what somebody did", function()
        make(65536)
        local count = 0
        while store:set("k" .. count, "x", 0, 0, nil, nil, true) == 0 do count = count + 1 end
        assert.is_true(count > 400)
        for i = 0, 9 do store:get("k" .. i, 0) end
        for i = 0, 199 do assert.equal(1, store:set("new" .. i, "x", 0)) end
        for i = 0, 9 do assert.equal("x", (store:get("k" .. i, 0))) end
        for i = 10, 19 do assert.is_nil((store:get("k" .. i, 0))) end
        assert.equal(200, store:counts().evicted)
        assert.equal(count, store:counts().entries)
    end)

    it("refuses what never fits, and what does not fit beside others when it may not push them out", function()
        local most = store:counts().most_bytes
        assert.equal(0, store:set("k", ("x"):rep(most), 0))
        assert.equal(E2BIG, store:set("k", ("x"):rep(most + 2000), 0))
        assert.equal(most, #store:get("k", 0))
        assert.equal(0, store:set("l", ("x"):rep(most), 0))
        assert.equal(ENOSPC, store:set("other", ("x"):rep(most), 0, 0, nil, nil, true))
        assert.equal(1, store:set("other", ("x"):rep(most), 0))
        assert.is_nil((store:get("l", 0))) -- "k" was asked for
        assert.equal(1, store:counts().refused)
    end)

    it("does not give up the value it replaces, nor the list it adds to", function()
        make(65536)
        for i = 1, 150 do store:push("l", "last", ("e"):rep(100), 0) end
        assert.equal(151, store:push("l", "last", ("e"):rep(100), 0))
        local length = 0
        for i = 1, 600 do
            length = store:push("l", "last", ("e"):rep(100), 0)
            if length < 0 then break end
        end
        assert.equal(ENOSPC, length)
        assert.is_true(store:get("l", 0) > 400)
    end)

    it("finds all keys with a prefix, piece by piece, each once", function()
        for i = 1, 3000 do store:set(("%s:%d"):format(i % 3 == 0 and "a" or "b", i), i, 0, i % 2 == 0 and 5 or 0) end
        local function count(seen)
            local total = 0
            for key, times in pairs(seen) do
                assert.equal(1, times, key)
                total = total + 1
            end
            return total
        end
        assert.equal(3000, count(store:keys("", 0)))
        assert.equal(1000, count(store:keys("a:", 0, 200)))
        assert.equal(500, count(store:keys("a:", 5)))
        assert.equal(0, count(store:keys("c", 0)))
    end)

    it("forgets everything at once", function()
        for i = 1, 2000 do store:set("k" .. i, i, 0) end
        for i = 1, 50 do store:push("l", "last", i, 0) end
        assert.equal(2001, store:flush())
        assert.equal(0, store:counts().entries)
        assert.equal(0, store:flush())
    end)

    it("lets a bucket's burst through, then what flows in", function()
        local function take(now, cost) return store:bucket("b", now, 0.01, 5, cost) end
        for left = 4, 0, -1 do assert.same({ true, left, 0 }, { take(0) }) end
        assert.same({ false, 0, 100 }, { take(0) })
        assert.is_false((take(99)))
        assert.is_true((take(100)))
        assert.is_false((take(40))) -- a clock that is read earlier
        assert.same({ true, 4, 0 }, { take(1e6) })
        assert.equal(-1, select(3, take(1e6, 6)))
        local _, _, wait = take(1e6, 5)
        assert.equal(100, wait)
        store:set("t", "text", 0)
        assert.same({ nil, EINVAL }, { store:bucket("t", 0, 1, 1) })
    end)

    it("lets a window's number through in any window", function()
        local allowed, times = 0, {}
        for now = 0, 20000, 7 do
            if store:window("w", now, 1000, 50) then times[#times + 1] = now end
        end
        for first = 1, #times do
            local count = 0
            for at = first, #times do
                if times[at] >= times[first] + 1000 then break end
                count = count + 1
            end
            allowed = math.max(allowed, count)
        end
        assert.is_true(allowed <= 75, "at most " .. allowed) -- the window before is taken as even
        assert.is_true(#times >= 900 and #times <= 1051, "in all " .. #times)
        make()
        for _ = 1, 50 do assert.is_true((store:window("w", 0, 1000, 50))) end
        local ok, left, wait = store:window("w", 0, 1000, 50)
        assert.same({ false, 0 }, { ok, left })
        assert.is_false((store:window("w", wait - 2, 1000, 50)))
        assert.is_true((store:window("w", wait + 1, 1000, 50)))
        assert.equal(-1, select(3, store:window("w", 0, 1000, 50, 51)))
        assert.is_true((store:window("one", 0, 1000, 1)))
        assert.is_false((store:window("one", 999, 1000, 1)))
        assert.is_true((store:window("one", 1001, 1000, 1)))
    end)

    it("forgets limits that are back at rest", function()
        store:bucket("b", 0, 0.01, 5, 1)
        assert.is_not_nil((store:get("b", 100)))
        assert.is_nil((store:get("b", 102)))
        store:window("w", 0, 1000, 5, 1)
        assert.is_nil((store:get("w", 2002)))
    end)
end)

describe("a shared dictionary beside a model of it", function()
    for seed = 1, 4 do
        it("agrees in everything, while nothing is given up, " .. seed, function()
            local store, model, chance, now = driver.new(4194304), {}, random(seed), 0
            local function alive(key)
                local has = model[key]
                if has and has.until_ms and has.until_ms <= now then model[key], has = nil, nil end
                return has
            end
            for _ = 1, 20000 do
                local key, what = "key" .. chance(300), chance(9)
                local has = alive(key)
                now = now + chance(3)
                has = alive(key)
                if what < 3 then
                    local how = ({ false, "add", "replace" })[chance(3) + 1] or nil
                    local given = chance(2) == 0 and chance(1000) or ("v"):rep(chance(400)) .. chance(99)
                    local ttl = chance(3) == 0 and 1 + chance(200) or 0
                    local code = store:set(key, given, now, ttl, how)
                    local expected = how == "add" and has and EEXIST or how == "replace" and not has and ENOENT or 0
                    assert.equal(expected, code)
                    if code == 0 then model[key] = { value = given, until_ms = ttl > 0 and now + ttl or nil } end
                elseif what < 5 then
                    local got = store:get(key, now)
                    local wanted = has and (has.list and #has.list or has.value)
                    assert.equal(wanted or nil, got)
                elseif what == 5 then
                    assert.equal(has and 0 or ENOENT, store:delete(key, now))
                    model[key] = nil
                elseif what == 6 then
                    local got, code = store:incr(key, 3, now, 7)
                    if has and type(has.value) ~= "number" then
                        assert.equal(EINVAL, code)
                    else
                        local wanted = (has and has.value or 7) + 3
                        assert.equal(wanted, got)
                        model[key] = { value = wanted, until_ms = has and has.until_ms }
                    end
                elseif what == 7 then
                    local where, given = chance(2) == 0 and "first" or "last", ("e"):rep(chance(300)) .. chance(9)
                    local got = store:push(key, where, given, now)
                    if has and not has.list then
                        assert.equal(EINVAL, got)
                    else
                        if not has then has = { list = {} } end
                        model[key] = has
                        table.insert(has.list, where == "first" and 1 or #has.list + 1, given)
                        assert.equal(#has.list, got)
                    end
                else
                    local where = chance(2) == 0 and "first" or "last"
                    local got, code = store:pop(key, where, now)
                    if not has then
                        assert.equal(ENOENT, code)
                    elseif not has.list then
                        assert.equal(EINVAL, code)
                    else
                        assert.equal(table.remove(has.list, where == "first" and 1 or nil), got)
                        if #has.list == 0 then model[key] = nil end
                    end
                end
            end
            local count = 0
            for key in pairs(model) do count = count + (alive(key) and 1 or 0) end
            local seen = 0
            for _ in pairs(store:keys("", now)) do seen = seen + 1 end
            assert.equal(count, seen)
            assert.equal(0, store:verify())
            store:close()
        end)
    end

    it("lives through a day of churn at nine tenths of its room", function()
        local store, chance = driver.new(262144), random(7)
        local room = store:counts().bytes
        local DAY, STEP = 86400000, 400 -- a change every 0.4 s of the clock
        for now = 0, DAY, STEP do
            store:set("session" .. chance(30000), ("s"):rep(50 + chance(400)), now, 1 + 1000 * chance(600))
            if now % (STEP * 20000) == 0 then assert.equal(0, store:verify()) end
        end
        local counts = store:counts()
        assert.equal(0, store:verify())
        assert.is_true(counts.used > 0.9 * 0.9 * room, "used " .. counts.used)
        assert.is_true(counts.evicted > 0 and counts.expired > 0)
        assert.equal(0, counts.refused)
        assert.equal(216001, counts.sets)
        store:close()
    end)
end)

describe("the area of dictionaries", function()
    local ffi = require "ffi"
    local lib, key_of = driver.lib, driver.key_of

    it("gives each name one, to everybody who has the descriptor, in the size it was made with", function()
        local fd = lib.dict_area_make()
        local one, other = lib.dict_area_open(fd), lib.dict_area_open(fd)
        local a, b, again = ffi.new("struct dict *[1]"), ffi.new("struct dict *[1]"), ffi.new("struct dict *[1]")
        assert.equal(0, lib.dict_area_store(one, key_of "a", 100000, a))
        assert.equal(0, lib.dict_area_store(other, key_of "a", 999999, again))
        assert.equal(0, lib.dict_area_store(other, key_of "b", 0, b))
        local value = ffi.new("struct dict_value", { kind = lib.DICT_TEXT, bytes = 5 })
        assert.equal(0, lib.dict_set(a[0], key_of "k", 0, value, "hello", lib.DICT_ALWAYS, 1))
        local text = ffi.new("char[9]")
        assert.equal(0, lib.dict_get(again[0], key_of "k", 0, value, text, 9))
        assert.equal("hello", ffi.string(text, value.bytes))
        assert.equal(ENOENT, lib.dict_get(b[0], key_of "k", 0, value, text, 9))
        assert.equal(2, lib.dict_area_count(one))
        local counts = ffi.new("struct dict_counts")
        lib.dict_count(lib.dict_area_at(one, 0), counts)
        assert.same({ "a", 102400 }, { ffi.string(counts.name), counts.bytes })
        lib.dict_area_close(one)
        lib.dict_area_close(other)
        ffi.C.close(fd)
    end)

    it("takes 64 of them, names of up to 63 bytes, and nothing that is not an area", function()
        local fd = lib.dict_area_make()
        local area, ret = lib.dict_area_open(fd), ffi.new("struct dict *[1]")
        for i = 1, 64 do assert.equal(0, lib.dict_area_store(area, key_of("n" .. i), 65536, ret)) end
        assert.equal(ENOSPC, lib.dict_area_store(area, key_of "more", 65536, ret))
        assert.equal(EINVAL, lib.dict_area_store(area, key_of(("n"):rep(64)), 65536, ret))
        assert.equal(EINVAL, lib.dict_area_store(area, key_of "", 65536, ret))
        assert.equal(EINVAL, lib.dict_area_store(area, key_of "big", 2 ^ 40, ret))
        lib.dict_area_close(area)
        ffi.C.close(fd)
        assert.is_true(lib.dict_area_open(0) == nil)
    end)
end)
