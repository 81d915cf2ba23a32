package statedir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Records are small JSON files of one node below the state directory, one of a
// kind.
type Records struct{ Dir, Group, Node string }

func (r Records) path(kind string) string {
	return filepath.Join(r.Dir, kind, FileName(r.Group, r.Node))
}

// Load reads the record of a kind; without one into stays as it is.
func (r Records) Load(kind string, into any) error {
	err := ReadJSON(r.path(kind), into)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("load %s record: %w", kind, err)
	}
	return nil
}

// Save replaces it, so that it outlives a power cut.
func (r Records) Save(kind string, from any) error {
	err := os.MkdirAll(filepath.Dir(r.path(kind)), 0o700)
	if err == nil {
		err = WriteJSON(r.path(kind), from, How{Sync: true})
	}
	if err != nil {
		return fmt.Errorf("save %s record: %w", kind, err)
	}
	return nil
}
