-- Old changes are deleted after a while, whatever their cell.
CREATE INDEX surge_changes_by_age ON surge_changes (at_s);
