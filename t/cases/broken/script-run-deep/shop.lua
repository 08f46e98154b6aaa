local M = {}

local function price_of(item)
    local price = item.price * 1.19
    return price
end

function M.total(items)
    local sum = 0
    for _, item in ipairs(items) do
        sum = sum + price_of(item)
    end
    return sum
end

return M
