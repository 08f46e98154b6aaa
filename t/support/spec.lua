--- Runs spec files in this LuaJIT: `luajit t/support/spec.lua [busted's options] FILE…`, from the top of the tree.
package.path = "./?.lua;./lua/?.lua;./lua/?/init.lua;" .. package.path
require "busted.runner" { standalone = false }
