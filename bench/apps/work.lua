--- A handler that computes for a while, the same for every request: how much more do two workers get done than one?
local bit = require "bit"
local app = require "moongate".app()

local bxor, lshift, rshift = bit.bxor, bit.lshift, bit.rshift
local ROUNDS = 600000 -- about a millisecond of compiled code

app:get("/", function()
    local x = 2463534242
    for _ = 1, ROUNDS do
        x = bxor(x, lshift(x, 13))
        x = bxor(x, rshift(x, 17))
        x = bxor(x, lshift(x, 5))
    end
    return x ~= 0 and "worked" or "never"
end)

return app
