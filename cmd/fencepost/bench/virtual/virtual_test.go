package virtual_test

import (
	"testing"
	"time"
	"fmt"

	"fencepost/cmd/fencepost/bench/virtual"
)

func TestTry(t *testing.T) {
	for _, s := range virtual.Servers() {
	m, _ := virtual.ModelOf(s)
	for _, h := range []int{1,2,8,64} {
	cfg := virtual.Config{Seed: 1, Server: "x", Model: m, Shapes: virtual.Shapes(), Hosts: []int{h}, Workers: 4, Jobs: 16, Size: 1024, Window: 5*time.Second, Parallel: 2}
	start := time.Now()
	rep, err := virtual.Run(t.Context(), cfg)
	if err != nil { t.Fatal(err) }
	for _, p := range rep.Points {
		fmt.Printf("%s %+v\n", s, p)
	}
	fmt.Println(time.Since(start))
	}
	}
}
