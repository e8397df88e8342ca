-- Arguments: the file with the body of POST requests, and pairs of names and values of headers. Prints the results as one line of JSON.

function init(arguments)
    local file = assert(io.open(arguments[1], "rb"))
    wrk.method, wrk.body = "POST", file:read("*a")
    for index = 2, #arguments, 2 do
        wrk.headers[arguments[index]] = arguments[index + 1]
    end
end

function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format(
        '{"answers": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "refused": %d, "closed": %d, "late": %d}\n',
        summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
        errors.status, errors.connect + errors.read + errors.write, errors.timeout
    ))
end
