package trial

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed broken
var patches embed.FS

// BuildBroken builds the program with one of the patches of Broken.
func BuildBroken(ctx context.Context, name, output string) (err error) {
	dir, err := os.MkdirTemp("", "broken")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	replace, err := Patch(ctx, name, dir)
	if err != nil {
		return err
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "go", "build", "-overlay", file, "-o", output, "fencepost/cmd/fencepost")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("the broken build %s doesn't build: %w\n%s", name, err, out)
	}
	return nil
}

// Patch applies a patch to copies, in dir, of the files that it changes, and
// returns the copies by the files' names. A patch that doesn't apply any more,
// because the code has changed, is an error.
func Patch(ctx context.Context, name, dir string) (copies map[string]string, err error) {
	patch, err := patches.ReadFile("broken/" + name + ".patch")
	if err != nil {
		return nil, err
	}
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return nil, fmt.Errorf("where is this module: %w", err)
	}
	copies, before := map[string]string{}, map[string]string{}
	for line := range strings.Lines(string(patch)) {
		file, ok := strings.CutPrefix(strings.TrimSpace(line), "+++ b/")
		if !ok {
			continue
		}
		source := filepath.Join(strings.TrimSpace(string(root)), filepath.FromSlash(file))
		copied := filepath.Join(dir, filepath.FromSlash(file))
		data, err := os.ReadFile(source)
		if err == nil {
			err = errors.Join(os.MkdirAll(filepath.Dir(copied), 0o755), os.WriteFile(copied, data, 0o644))
		}
		if err != nil {
			return nil, fmt.Errorf("patch %s: %w", name, err)
		}
		copies[source], before[source] = copied, string(data)
	}
	apply := exec.CommandContext(ctx, "git", "apply", "--whitespace=nowarn", "-")
	apply.Dir, apply.Stdin = dir, strings.NewReader(string(patch))
	// The directory may be inside of a repository, and is none of its files.
	apply.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir))
	if out, err := apply.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("the patch %s doesn't apply any more; make it anew: %w\n%s", name, err, out)
	}
	for source, copied := range copies {
		// Outside of its repository git may pass a patch over in silence.
		if after, err := os.ReadFile(copied); err != nil || string(after) == before[source] {
			return nil, fmt.Errorf("the patch %s changes nothing in %s: %w", name, source, err)
		}
	}
	return copies, nil
}
