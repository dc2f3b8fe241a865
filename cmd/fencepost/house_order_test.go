package main_test

import (
	"go/ast"
	"go/types"
	"slices"
	"strings"
)

// noMapOrder: what a loop over a map does to the outside world happens in
// another order each time. A simulated run must be repeatable, and so must a
// schedule that a test describes. Loops whose body only computes are fine.
func noMapOrder(h *house) (found []string) {
	for _, p := range h.pkgs {
		if !slices.Contains(append(protocol(), simulated()...), p.dir) {
			continue
		}
		for _, f := range p.shipped() {
			ast.Inspect(f.syntax, func(n ast.Node) bool {
				loop, ok := n.(*ast.RangeStmt)
				if !ok || !p.isMap(loop.X) {
					return true
				}
				if call := p.effect(loop.Body); call != nil {
					found = append(found, h.at(loop, "a loop over a map calls %s: range over slices.Sorted(maps.Keys(...))", types.ExprString(call.Fun)))
				}
				return true
			})
		}
	}
	return found
}

// simulated are the packages beside the protocol's that run in the simulator.
func simulated() []string {
	return []string{"spool/env/simenv", "spool/env/nfssim", "submit/clustersim", "cmd/fencepost/race", "cmd/fencepost/bench/virtual"}
}

func (p *pkg) isMap(e ast.Expr) bool {
	t := p.info.TypeOf(e)
	if t == nil {
		return false
	}
	_, ok := t.Underlying().(*types.Map)
	return ok
}

// effect finds a call in a loop's body that may reach outside: a method, or a
// function of the module; not a builtin, a conversion, or the standard library's.
func (p *pkg) effect(body *ast.BlockStmt) (call *ast.CallExpr) {
	ast.Inspect(body, func(n ast.Node) bool {
		c, ok := n.(*ast.CallExpr)
		if !ok || call != nil {
			return call == nil
		}
		switch fn := c.Fun.(type) {
		case *ast.Ident:
			switch obj := p.info.Uses[fn].(type) {
			case *types.Builtin, *types.TypeName:
			case *types.Func:
				if sig, ok := obj.Type().(*types.Signature); ok && sig.Recv() == nil && pure(obj.Name()) {
					return true
				}
				call = c
			default:
				call = c
			}
		case *ast.SelectorExpr:
			imp, _ := p.selected(fn)
			if pure(fn.Sel.Name) || imp != "" && !strings.HasPrefix(imp, module+"/") {
				return true
			}
			call = c
		}
		return true
	})
	return call
}

// pure are functions and methods of these packages that only compute.
func pure(name string) bool {
	return slices.Contains([]string{"Bucket", "Furthest", "twice", "ended", "ValidID", "hasEnded", "count", "judge", "lastOf", "isSilent", "Sub"}, name)
}
