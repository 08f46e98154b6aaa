local a = require "a"
return { y = a }
