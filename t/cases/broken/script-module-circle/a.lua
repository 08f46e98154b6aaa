local b = require "b"
return { x = b }
