--- The folder that FILES names, below /files.
local app = require "moongate".app()

app:files("/files/*", os.getenv("FILES"))

return app
