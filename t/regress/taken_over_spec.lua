--- A script that answered a request which an upstream or a file was answering already made the worker abort.
local server = require "t.support.server"

after_each(server.sweep)

describe("a request that is answered in C", function()
    it("cannot be answered by its script as well, nor let go too early", function()
        local folder = server.folder { ["served.txt"] = ("file "):rep(1000) }
        local s = server.start { script = ([[
            local mg = require "moongate"
            local abi = require "moongate.abi"
            local C, w, upstream, root = abi.C
            local app = mg.app()
            app:on_start(function()
                w = abi.worker
                upstream = C.mg_upstream_open(w, "u", 1, "127.0.0.1:1 1\n", 14)
                local folder = "@FOLDER@"
                root = C.mg_folder_open(w, folder, #folder, "", 0)
            end)
            app:get("/proxy", function(req)
                C.mg_reply_proxy(w, req._slot, upstream, 0, "", 0, "", 0)
                C.mg_reply_proxy(w, req._slot, upstream, 0, "", 0, "", 0)
                return "mine"
            end)
            app:get("/file", function(req)
                C.mg_reply_file(w, req._slot, root, "served.txt", 10, 0, "", 0)
                C.mg_reply_file(w, req._slot, root, "served.txt", 10, 0, "", 0)
                C.mg_stream_end(w, req._slot, 1)
                return "mine"
            end)
            app:get("/hold", function(req)
                local slot = req._slot
                C.mg_hold(w, slot, 0)
                mg.spawn(function() C.mg_release(w, slot) C.mg_release(w, slot) end)
                return "held"
            end)
            app:get("/length/:n", function(req)
                return tostring(C.mg_stream_begin(w, req._slot, 200, 1, tonumber(req.params.n)))
            end)
            return app
        ]]):gsub("@FOLDER@", folder) }
        local workers = s:workers()
        assert.equal(502, s:get("/proxy").status)
        assert.equal(("file "):rep(1000), s:get("/file").body)
        for _ = 1, 3 do assert.equal("held", s:get("/hold").body) end
        for _, length in ipairs { "1.5", "1e300", "nan", "inf" } do assert.equal("-22", s:get("/length/" .. length).body) end
        assert.same(workers, s:workers())
        s:stop()
    end)
end)
