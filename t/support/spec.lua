--- Runs spec files in this LuaJIT: `luajit t/support/spec.lua [busted's options] FILE…`, from the top of the tree.
package.path = "./?.lua;./lua/?.lua;./lua/?/init.lua;" .. package.path
-- Any suite on either engine: what is started, and what is made here, takes the one that MG_ENGINE names.
require("posix.stdlib").setenv("MOONGATE_ENGINE", os.getenv("MG_ENGINE"))
require "busted.runner" { standalone = false }
