--- `mg.crypto`, `mg.encode`, `mg.decode`: digests, signatures and encryption of OpenSSL, and text forms of bytes. In: strings; out: strings, or `nil,
--- message, code` for what comes from outside and is not sound. Wrong arguments raise.
---
--- What sign() and seal() make fits into cookies and URLs. Their secret is any text of at least 16 bytes, or a list of such texts: the first one
--- signs and seals, all of them are tried to read, so that a secret can be replaced. `purpose` keeps what was made for one thing from being used
--- for another.
local ffi = require "ffi"
local abi = require "moongate.abi"
local caller = require "moongate.caller"
local query = require "moongate.query"
local units = require "moongate.units"

local M = {}

local C = abi.C
local SECRET_LEAST, RANDOM_MOST = 16, 65536
local KEY, NONCE, TAG = 32, 12, 16

local digest = ffi.new("char[64]")
local room, room_bytes = ffi.new("char[4096]"), 4096

local function room_for(bytes)
    if bytes > room_bytes then room, room_bytes = ffi.new("char[?]", bytes), bytes end
    return room
end

local function check_text(what, name, text)
    if type(text) ~= "string" then caller.raise(("%s: %s: expected a string, got %s"):format(what, name, type(text))) end
end

--- ---- forms of bytes ----

local encode, decode = {}, {}
M.encode, M.decode = encode, decode

local HEX, UNHEX = {}, {}
for code = 0, 255 do
    local char = string.char(code)
    HEX[char] = ("%02x"):format(code)
    for _, form in ipairs { "%02x", "%02X" } do UNHEX[form:format(code)] = char end
    local digits = ("%02x"):format(code)
    UNHEX[digits:sub(1, 1) .. digits:sub(2):upper()], UNHEX[digits:sub(1, 1):upper() .. digits:sub(2)] = char, char
end

local function to_base64(what, bytes, url)
    check_text(what, "bytes", bytes)
    local ret = room_for(math.ceil(#bytes / 3) * 4 + 1)
    return ffi.string(ret, C.mg_base64(bytes, #bytes, url, ret))
end

local function from_base64(what, text, url)
    check_text(what, "text", text)
    local ret = room_for(#text + 4)
    local count = C.mg_base64_read(text, #text, url, ret)
    if count < 0 then return nil, "it is not base64", "encoding" end
    return ffi.string(ret, count)
end

--- Base64 with "+", "/" and padding (RFC 4648 §4).
---@param bytes string
---@return string
function encode.base64(bytes) return to_base64("mg.encode.base64", bytes, 0) end

--- Base64 for URLs and cookies: with "-" and "_", without padding (RFC 4648 §5).
---@param bytes string
---@return string
function encode.base64url(bytes) return to_base64("mg.encode.base64url", bytes, 1) end

--- Two digits for each byte, in lower case.
---@param bytes string
---@return string
function encode.hex(bytes)
    check_text("mg.encode.hex", "bytes", bytes)
    return (bytes:gsub(".", HEX))
end

--- For a segment of a path, or a name or value of a query: everything but letters, digits, "-", ".", "_" and "~" is escaped.
---@param text string
---@return string
function encode.url(text)
    check_text("mg.encode.url", "text", text)
    return query.encode(text)
end

--- nil, message, code when it is not base64 in every bit; padding may be left out.
---@param text string
---@return string? bytes
---@return string? message
---@return string? code
function decode.base64(text) return from_base64("mg.decode.base64", text, 0) end

---@param text string
---@return string? bytes
---@return string? message
---@return string? code
function decode.base64url(text) return from_base64("mg.decode.base64url", text, 1) end

---@param text string
---@return string? bytes
---@return string? message
---@return string? code
function decode.hex(text)
    check_text("mg.decode.hex", "text", text)
    if #text % 2 ~= 0 or text:find("%X") then return nil, "it is not hexadecimal", "encoding" end
    return (text:gsub("..", UNHEX))
end

--- "%20" is a space, and "+" is one, too.
---@param text string
---@return string
function decode.url(text)
    check_text("mg.decode.url", "text", text)
    return query.decode(text)
end

--- ---- digests ----

local function digest_of(name, text)
    check_text("mg.crypto." .. name, "text", text)
    return ffi.string(digest, C.mg_digest(name, text, #text, digest))
end

--- 20 bytes. Broken for signatures: for what asks for it by name.
---@param text string
---@return string
function M.sha1(text) return digest_of("sha1", text) end

---@param text string
---@return string bytes 32 of them: mg.encode.hex() shows them
function M.sha256(text) return digest_of("sha256", text) end

---@param text string
---@return string bytes 48
function M.sha384(text) return digest_of("sha384", text) end

---@param text string
---@return string bytes 64
function M.sha512(text) return digest_of("sha512", text) end

--- HMAC by "sha1", "sha256", "sha384" or "sha512".
---@param name string
---@param key string
---@param text string
---@return string bytes
function M.hmac(name, key, text)
    check_text("mg.crypto.hmac", "name", name)
    check_text("mg.crypto.hmac", "key", key)
    check_text("mg.crypto.hmac", "text", text)
    local count = C.mg_hmac(name, key, #key, text, #text, digest)
    if count < 0 then caller.raise(('mg.crypto.hmac: there is no digest %q; there are "sha1", "sha256", "sha384" and "sha512"'):format(name)) end
    return ffi.string(digest, count)
end

--- Are two texts equal? Takes the same time wherever they differ.
---@param a string
---@param b string
---@return boolean
function M.equal(a, b)
    check_text("mg.crypto.equal", "a", a)
    check_text("mg.crypto.equal", "b", b)
    return #a == #b and C.mg_same(a, b, #a) == 1
end

--- ---- chance ----

--- Bytes that nobody can guess, from the kernel.
---@param count integer up to 65536
---@return string
function M.random(count)
    if type(count) ~= "number" or count % 1 ~= 0 or count < 0 or count > RANDOM_MOST then
        caller.raise(("mg.crypto.random: expected a number of bytes from 0 to %d"):format(RANDOM_MOST))
    end
    local ret = room_for(count)
    C.mg_random(ret, count)
    return ffi.string(ret, count)
end

local function uuid_text(bytes, version)
    local byte = string.byte
    bytes = bytes:sub(1, 6) .. string.char(version * 16 + byte(bytes, 7) % 16) .. bytes:sub(8, 8) .. string.char(128 + byte(bytes, 9) % 64) .. bytes:sub(10)
    local hex = encode.hex(bytes)
    return ("%s-%s-%s-%s-%s"):format(hex:sub(1, 8), hex:sub(9, 12), hex:sub(13, 16), hex:sub(17, 20), hex:sub(21))
end

--- A UUID of chance (RFC 9562, version 4).
---@return string
function M.uuid() return uuid_text(M.random(16), 4) end

--- A UUID that begins with the time, so that later ones sort behind (RFC 9562, version 7).
---@return string
function M.uuid7()
    local ms = math.floor((abi.worker and C.mg_unix_time(abi.worker) or os.time()) * 1000)
    local time = {}
    for at = 6, 1, -1 do time[at], ms = string.char(ms % 256), math.floor(ms / 256) end
    return uuid_text(table.concat(time) .. M.random(10), 7)
end

--- ---- AES-256-GCM ----

local function check_key(what, key)
    check_text(what, "key", key)
    if #key ~= KEY then caller.raise(("%s: key: expected %d bytes, got %d"):format(what, KEY, #key)) end
end

--- Encrypts with a key of 32 bytes: a nonce of chance, the text and its tag. `with` is not in it, but has to be the same to decrypt it.
---@param key string
---@param text string
---@param with? string
---@return string
function M.encrypt(key, text, with)
    check_key("mg.crypto.encrypt", key)
    check_text("mg.crypto.encrypt", "text", text)
    with = with or ""
    local nonce = M.random(NONCE)
    local ret = room_for(#text + TAG)
    return nonce .. ffi.string(ret, C.mg_seal(key, nonce, with, #with, text, #text, ret))
end

--- What encrypt() was given; nil, message, "sealed" when it was not made with this key and `with`, or was changed.
---@param key string
---@param sealed string
---@param with? string
---@return string? text
---@return string? message
---@return string? code
function M.decrypt(key, sealed, with)
    check_key("mg.crypto.decrypt", key)
    check_text("mg.crypto.decrypt", "sealed", sealed)
    with = with or ""
    local ret, body = room_for(#sealed), sealed:sub(NONCE + 1)
    local count = #sealed >= NONCE + TAG and C.mg_unseal(key, sealed:sub(1, NONCE), with, #with, body, #body, ret) or -1
    if count < 0 then return nil, "it was not made with this key, or was changed since", "sealed" end
    return ffi.string(ret, count)
end

--- ---- for cookies and URLs ----

--- The secrets, as a list; each is checked.
local function secrets_of(what, secret)
    local list = type(secret) == "table" and secret or { secret }
    if #list == 0 then caller.raise(what .. ": secret: expected a string, or a list of them") end
    for _, one in ipairs(list) do
        check_text(what, "secret", one)
        if #one < SECRET_LEAST then caller.raise(("%s: secret: expected at least %d bytes, got %d"):format(what, SECRET_LEAST, #one)) end
    end
    return list
end

local function now() return math.floor(abi.worker and C.mg_unix_time(abi.worker) or os.time()) end

--- When it ends, in seconds since 1970; 0: never.
local function end_of(what, ttl)
    if ttl == nil then return 0 end
    local ms, message = units.duration(ttl)
    if not ms then caller.raise(("%s: ttl: %s"):format(what, message)) end
    return now() + math.ceil(ms / 1000)
end

local function key_of(secret, use, purpose) return M.hmac("sha256", secret, use .. "\0" .. (purpose or "")) end

--- The text behind "SECONDS:", when its time is not over.
local function in_time(text)
    local until_s, rest = text:match("^(%d+):(.*)$")
    if not until_s then return nil, "it is not of this form", "sealed" end
    if tonumber(until_s) > 0 and tonumber(until_s) <= now() then return nil, "its time is over", "expired" end
    return rest
end

--- Signs a text that others may read and must not change.
---@param secret string|string[]
---@param text string
---@param purpose? string
---@param ttl? number|string
---@return string signed
function M.sign(secret, text, purpose, ttl)
    local list = secrets_of("mg.crypto.sign", secret)
    check_text("mg.crypto.sign", "text", text)
    local body = encode.base64url(end_of("mg.crypto.sign", ttl) .. ":" .. text)
    return body .. "." .. encode.base64url(M.hmac("sha256", key_of(list[1], "sign", purpose), body))
end

--- What sign() was given; nil, message, "signature" or "expired".
---@param secret string|string[]
---@param signed string
---@param purpose? string
---@return string? text
---@return string? message
---@return string? code
function M.verify(secret, signed, purpose)
    local list = secrets_of("mg.crypto.verify", secret)
    check_text("mg.crypto.verify", "signed", signed)
    local body, signature = signed:match("^([%w_-]*)%.([%w_-]+)$")
    local bytes = signature and decode.base64url(signature)
    for _, one in ipairs(bytes and list or {}) do
        if M.equal(bytes, M.hmac("sha256", key_of(one, "sign", purpose), body)) then return in_time(decode.base64url(body) or "") end
    end
    return nil, "the signature is not ours", "signature"
end

--- Encrypts a text that others must neither read nor change.
---@param secret string|string[]
---@param text string
---@param purpose? string
---@param ttl? number|string
---@return string sealed
function M.seal(secret, text, purpose, ttl)
    local list = secrets_of("mg.crypto.seal", secret)
    check_text("mg.crypto.seal", "text", text)
    return encode.base64url(M.encrypt(key_of(list[1], "seal", purpose), end_of("mg.crypto.seal", ttl) .. ":" .. text))
end

--- What seal() was given; nil, message, "sealed" or "expired".
---@param secret string|string[]
---@param sealed string
---@param purpose? string
---@return string? text
---@return string? message
---@return string? code
function M.open(secret, sealed, purpose)
    local list = secrets_of("mg.crypto.open", secret)
    check_text("mg.crypto.open", "sealed", sealed)
    local bytes = decode.base64url(sealed)
    for _, one in ipairs(bytes and list or {}) do
        local text = M.decrypt(key_of(one, "seal", purpose), bytes)
        if text then return in_time(text) end
    end
    return nil, "it was not made with this secret, or was changed since", "sealed"
end

--- ---- dates ----

--- A date as HTTP writes it, "Sun, 06 Nov 1994 08:49:37 GMT"; of now, unless told.
---@param unix_second? number
---@return string
function encode.date(unix_second)
    C.mg_date(unix_second or now(), digest)
    return ffi.string(digest, 29)
end

--- Seconds since 1970 of a date in any of HTTP's three forms.
---@param text string
---@return number? unix_second
---@return string? message
---@return string? code
function decode.date(text)
    check_text("mg.decode.date", "text", text)
    local second = C.mg_date_read(text, #text)
    if second < 0 then return nil, "it is not a date of HTTP", "encoding" end
    return second
end

return M
