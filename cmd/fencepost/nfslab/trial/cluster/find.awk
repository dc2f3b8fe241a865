# Of a job's lines the first release or cancel counts. Every other job is done as
# soon as it is released, the others run for ever: both are seen.
$1 == "submit" { id[++n] = $2; key[$2] = $3; token[$2] = $4; state[$2] = "held" }
$1 == "release" && state[$2] == "held" { state[$2] = key[$2] ~ /[02468ace]$/ ? "done" : "running" }
$1 == "cancel" && state[$2] == "held" { state[$2] = "cancelled" }
END { for (i = 1; i <= n; i++) print id[i], key[id[i]], token[id[i]], state[id[i]] }
