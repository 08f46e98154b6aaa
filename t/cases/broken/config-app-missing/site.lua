return { listen = ":8080" }
