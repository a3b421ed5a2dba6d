//! Children: started, watched, ended with their whole family.
