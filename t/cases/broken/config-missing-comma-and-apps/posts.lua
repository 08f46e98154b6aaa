local titles = { "one" "two" }
return titles
