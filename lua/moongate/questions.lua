--- What the master asks a worker on behalf of somebody who wants to know: a question is a word, and perhaps JSON behind it; the answer is
--- JSON. Whoever can answer registers a word. Answers are made in a task: they may wait.
local abi = require "moongate.abi"
local await = require "moongate.await"
local json = require "moongate.json"

local M = {}

local C = abi.C
local PART_BYTES = 4080 -- of struct control_message

local answerers = {}

--- `fn(value)` answers the word; `value` is what stood behind it, decoded. What it returns goes out as JSON; nil, message: an error.
---@param word string
---@param fn fun(value: any): any, string?
function M.on(word, fn)
    answerers[word] = fn
end

local function failure(message)
    return { error = message }
end

local function answer_to(question)
    local word, rest = question:match("^(%S+)%s*(.*)$")
    local answerer = word and answerers[word]
    if not answerer then return failure(("a worker has no answer to %q"):format(word or question)) end
    local value, message
    if rest ~= "" then
        value, message = json.decode(rest)
        if message then return failure(("%s: what stands behind it is not JSON: %s"):format(word, message)) end
    end
    local ok, answer, why = pcall(answerer, value)
    if not ok then return failure(("%s: %s"):format(word, tostring(answer))) end
    if answer == nil then return failure(why or word .. ": no answer") end
    return answer
end

local function send(ticket, text)
    for from = 1, #text, PART_BYTES do
        local part = text:sub(from, from + PART_BYTES - 1)
        while C.mg_say(abi.worker, C.CONTROL_ANSWER, ticket, part, #part) < 0 do await.breathe() end
    end
    while C.mg_say(abi.worker, C.CONTROL_ANSWERED, ticket, "", 0) < 0 do await.breathe() end
end

local function answer(ticket, question)
    local text, message = json.encode(answer_to(question))
    send(ticket, text or json.encode(failure(message)))
end

--- Answers a question of the master.
---@param ticket number
---@param question string
function M.answer(ticket, question)
    await.spawn(answer, ticket, question, nil, false).steady = true
end

return M
