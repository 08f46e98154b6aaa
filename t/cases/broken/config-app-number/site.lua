return {
    app = 7,
}
