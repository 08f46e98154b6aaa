return {
    hosts = { "example.org" },
}
